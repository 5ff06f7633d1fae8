"""What is evaluated: one choice of models and options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tools.errors import EvaluationError
from tritonpose.transport.messages import InferRequest


@dataclass(frozen=True)
class Variant:
    """Models and options of the pipeline; None leaves a choice to the server.

    Attributes:
        detector: Name of the detector.
        keypoint_model: Name of the keypoint model.
        flip: Whether results are averaged with those of the mirrored crop.
        use_udp: Whether crops are UDP's; where the server leaves it open, the model decides.
    """

    detector: str | None = None
    keypoint_model: str | None = None
    flip: bool | None = None
    use_udp: bool | None = None

    def request(
        self,
        image: bytes,
        det_threshold: float | None = None,
        person_boxes: npt.NDArray[np.float32] | None = None,
    ) -> InferRequest:
        """The request for one encoded image; see `InferRequest` for the arguments."""
        return InferRequest(
            image=image,
            det_threshold=det_threshold,
            detector=self.detector,
            keypoint_model=self.keypoint_model,
            flip=self.flip,
            use_udp=self.use_udp,
            person_boxes=person_boxes,
        )


def pair_models(
    detectors: Sequence[str],
    keypoint_models: Sequence[str],
    flip: bool | None = None,
    use_udp: bool | None = None,
) -> list[Variant]:
    """Combine the models named on a command line, the first with the first and so on.

    Args:
        detectors: None, one for all keypoint models, or as many as these.
        keypoint_models: None, one for all detectors, or as many as these.
        flip: Option of all variants.
        use_udp: Option of all variants.

    Raises:
        EvaluationError: The numbers don't fit.
    """
    columns = max(len(detectors), len(keypoint_models), 1)
    lists = []
    for names in (detectors, keypoint_models):
        spread: list[str | None] = [*names] if len(names) > 1 else [*names, None][:1] * columns
        if len(spread) != columns:
            raise EvaluationError(
                f"{len(detectors)} detectors and {len(keypoint_models)} keypoint models can't be "
                "paired: give one of a kind, or as many of one as of the other"
            )
        lists.append(spread)
    return [
        Variant(detector, keypoint_model, flip, use_udp)
        for detector, keypoint_model in zip(*lists, strict=True)
    ]
