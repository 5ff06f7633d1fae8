"""The variants that are evaluated: choices of models and options, and a server for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from tools.errors import ToolError
from tritonpose.config import ModuleConfig, PipelineConfig
from tritonpose.transport.messages import InferRequest
from tritonpose_pipeline.thresholds import Threshold
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.models.choice import choose_models
from tritonpose_server.models.store import Progress

Module = TypeVar("Module", bound=ModuleConfig)


@dataclass(frozen=True)
class Variant:
    """Models and options of the pipeline; None leaves a choice to the server, or to the model."""

    detector: str | None = None
    keypoint_model: str | None = None
    flip: bool | None = None
    use_udp: bool | None = None

    def request(
        self,
        image: bytes,
        det_threshold: Threshold | None = None,
        person_boxes: npt.NDArray[np.float32] | None = None,
        fast_decode: bool | None = None,
    ) -> InferRequest:
        """Make the request for one encoded image; see `InferRequest` for the arguments."""
        return InferRequest(
            image=image,
            det_threshold=det_threshold,
            detector=self.detector,
            keypoint_model=self.keypoint_model,
            flip=self.flip,
            use_udp=self.use_udp,
            fast_decode=fast_decode,
            person_boxes=person_boxes,
        )


def pair_models(
    detectors: Sequence[str],
    keypoint_models: Sequence[str],
    flip: bool | None = None,
    use_udp: bool | None = None,
) -> list[Variant]:
    """Combine the models named on a command line, the first with the first and so on.

    One model of a kind is combined with all of the other kind.
    """
    columns = max(len(detectors), len(keypoint_models), 1)
    lists = []
    for names in (detectors, keypoint_models):
        spread: list[str | None] = [*names] if len(names) > 1 else [*names, None][:1] * columns
        if len(spread) != columns:
            raise ToolError(
                f"{len(detectors)} detectors and {len(keypoint_models)} keypoint models can't be "
                "paired: give one of a kind, or as many of one as of the other"
            )
        lists.append(spread)
    return [
        Variant(detector, keypoint_model, flip, use_udp)
        for detector, keypoint_model in zip(*lists, strict=True)
    ]


@contextmanager
def serve_variants(
    config: PipelineConfig, variants: Sequence[Variant], progress: Progress
) -> Iterator[tuple[str, list[Variant]]]:
    """Serve the models of some variants of a pipeline, for as long as the context lasts.

    Yields the server's URL, and the variants with the server's names of their models.
    """
    shown: set[str] = set()

    def show_once(line: str) -> None:
        if line not in shown:
            shown.add(line)
            progress(line)

    choices = [choose_models(with_models(config, variant), show_once) for variant in variants]
    served = [
        replace(
            variant,
            detector=choice.settings.detector,
            keypoint_model=choice.settings.keypoint_model,
        )
        for variant, choice in zip(variants, choices, strict=True)
    ]
    models = dict.fromkeys(model for choice in choices for model in choice.models)
    progress("starting Triton")
    with EmbeddedServer(list(models), choices[0].settings) as server:
        yield server.grpc_url, served


def with_models(config: PipelineConfig, variant: Variant) -> PipelineConfig:
    """Replace the models of a pipeline by those of a variant."""
    keypoint = _with_model(config.keypoint, variant.keypoint_model)
    return replace(
        config,
        detector=_with_model(config.detector, variant.detector),
        keypoint=keypoint,
        # They are those of the pipeline's own model.
        keypoints=config.keypoints if keypoint == config.keypoint else None,
    )


def _with_model(module: Module, wanted: str | None) -> Module:
    # The name of the pipeline's own model keeps its directory, if it has one.
    if wanted is None or wanted == module.model_name:
        return module
    directory = Path(wanted)
    if directory.is_dir():
        return replace(module, model_name=None, model_dir=directory.absolute())
    return replace(module, model_name=wanted, model_dir=None)
