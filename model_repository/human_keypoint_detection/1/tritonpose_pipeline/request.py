"""What a request asks for: its image, the people in it, and its choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tritonpose_pipeline.detection import Detections
from tritonpose_pipeline.errors import BadImageError, BadRequestError, ModelError
from tritonpose_pipeline.image import EncodedImage, Image, check_file, check_frame
from tritonpose_pipeline.limits import Limits
from tritonpose_pipeline.repository import DetectorModel, KeypointModel, ModelRepository
from tritonpose_pipeline.settings import PipelineSettings

_CHOICES = ("detector", "keypoint_model", "flip", "use_udp")

# Triton forwards its own bookkeeping as request parameters with these prefixes.
_PREFIXES_OF_TRITON = ("triton_", "header_", "sequence_")

# Of given boxes, which may reach beyond the image; far more than any image has.
_MAX_COORDINATE = 1_000_000


@dataclass(frozen=True)
class PipelineRequest:
    """What a client sent.

    Attributes:
        image: An encoded file, or None.
        frame: uint8 ``[H, W, 3]``, BGR, or None.
        det_threshold: float32 ``[1]``, or None.
        parameters: The request's parameters.
        person_boxes: float32 ``[N, 4]``, people found elsewhere, or None.
    """

    image: bytes | None
    frame: npt.NDArray[Any] | None
    det_threshold: npt.NDArray[Any] | None
    parameters: Mapping[str, object]
    person_boxes: npt.NDArray[Any] | None = None

    @property
    def threshold(self) -> float | None:
        """Return the detector score threshold, if sent."""
        return None if self.det_threshold is None else float(self.det_threshold.reshape(-1)[0])

    def check_image(self, limits: Limits) -> EncodedImage | Image:
        """Check the image as far as that is possible without decoding it.

        Returns:
            The file, or the pixels, uint8 ``[H, W, 3]``, BGR.

        Raises:
            BadImageError: Neither or both of `image` and `frame` were sent, or the image is
                unusable.
        """
        if (self.image is None) == (self.frame is None):
            both = self.image is not None
            raise BadImageError(
                "send exactly one of `image` (encoded file) and `frame` (decoded, BGR), "
                f"got {'both' if both else 'neither'}"
            )
        if self.image is not None:
            return check_file(self.image, limits)
        return check_frame(np.asarray(self.frame, np.uint8), limits)

    def given_people(self, limits: Limits) -> Detections | None:
        """Check the boxes of people found elsewhere.

        Returns:
            The people whose keypoints are wanted; None if a detector is to find them.

        Raises:
            BadRequestError: A box is malformed, or there are too many.
        """
        if self.person_boxes is None:
            return None
        boxes = np.asarray(self.person_boxes, np.float32)
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise BadRequestError(
                f"`person_boxes` must be float32 [N, 4] (x1, y1, x2, y2), got {list(boxes.shape)}"
            )
        if len(boxes) > limits.max_persons:
            raise BadRequestError(
                f"`person_boxes` has {len(boxes)} boxes; up to {limits.max_persons} (max_persons) "
                "are accepted: send them in several requests"
            )
        # Written so that NaN is improper, too.
        near = (np.abs(boxes) <= _MAX_COORDINATE).all(axis=1)
        proper = near & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        if not proper.all():
            index = int(np.argmin(proper))
            raise BadRequestError(
                f"`person_boxes` must have x1 < x2 and y1 < y2 within {_MAX_COORDINATE} pixels, "
                f"box {index} is {boxes[index].tolist()}"
            )
        return Detections(boxes, np.ones(len(boxes), np.float32))


@dataclass(frozen=True)
class PoseOptions:
    """Everything decided about one request.

    Attributes:
        detector: The detector to call.
        keypoint_model: The keypoint model to call.
        threshold: Detector score threshold, 0 to 1.
        flip: Whether to average over the mirrored crop.
        use_udp: Whether to crop with unbiased data processing.
    """

    detector: DetectorModel
    keypoint_model: KeypointModel
    threshold: float
    flip: bool
    use_udp: bool


def resolve_options(
    settings: PipelineSettings,
    repository: ModelRepository,
    det_threshold: float | None,
    parameters: Mapping[str, object],
) -> PoseOptions:
    """Combine a request's choices with the pipeline's settings.

    Args:
        settings: The pipeline's settings.
        repository: Knows the models the server offers.
        det_threshold: The request's detector score threshold, if sent.
        parameters: The request's parameters.

    Raises:
        BadRequestError: A parameter is unknown, of the wrong type or out of range, or names
            a model that the server does not offer for that role.
    """
    for key in parameters:
        if key not in _CHOICES and not key.startswith(_PREFIXES_OF_TRITON):
            raise BadRequestError(
                f"unknown request parameter {key!r}; the pipeline knows {', '.join(_CHOICES)}"
            )
    try:
        detector = repository.detector(_name(parameters, "detector") or settings.detector)
        keypoint_model = repository.keypoint_model(
            _name(parameters, "keypoint_model") or settings.keypoint_model
        )
    except ModelError as error:
        raise BadRequestError(str(error)) from error
    threshold = detector.threshold if settings.threshold is None else settings.threshold
    if det_threshold is not None:
        threshold = det_threshold
        # Written so that NaN is refused, too.
        if not 0 <= threshold <= 1:
            raise BadRequestError(f"`det_threshold` must be a number from 0 to 1, got {threshold}")
    flip, use_udp = _flag(parameters, "flip"), _flag(parameters, "use_udp")
    if use_udp is None:
        use_udp = keypoint_model.use_udp if settings.use_udp is None else settings.use_udp
    return PoseOptions(
        detector=detector,
        keypoint_model=keypoint_model,
        threshold=threshold,
        flip=settings.flip if flip is None else flip,
        use_udp=use_udp,
    )


def _name(parameters: Mapping[str, object], key: str) -> str | None:
    value = parameters.get(key)
    if value is not None and not isinstance(value, str):
        raise BadRequestError(f"request parameter `{key}` must be a model name, got {value!r}")
    return value


def _flag(parameters: Mapping[str, object], key: str) -> bool | None:
    value = parameters.get(key)
    if value is not None and not isinstance(value, bool):
        raise BadRequestError(f"request parameter `{key}` must be true or false, got {value!r}")
    return value
