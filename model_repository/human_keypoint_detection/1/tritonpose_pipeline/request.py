"""What a request asks for: its image, the people in it, and its choices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tritonpose_pipeline.detection import Detections
from tritonpose_pipeline.errors import BadImageError, BadRequestError, ModelError
from tritonpose_pipeline.image import EncodedImage, Image, check_file, check_frame
from tritonpose_pipeline.keypoint_schema import KeypointSchema
from tritonpose_pipeline.limits import Limits
from tritonpose_pipeline.regions import FloatArray, RegionError, check_boxes, check_region
from tritonpose_pipeline.repository import DetectorModel, KeypointModel, ModelRepository
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_pipeline.thresholds import (
    Threshold,
    ThresholdError,
    check_threshold,
    class_thresholds,
    threshold_from_text,
)

_CHOICES = ("detector", "keypoint_model", "flip", "use_udp", "fast_decode", "det_threshold")

# Triton forwards its own bookkeeping as request parameters with these prefixes.
_PREFIXES_OF_TRITON = ("triton_", "header_", "sequence_")


@dataclass(frozen=True)
class PipelineRequest:
    """What a client sent.

    Attributes:
        image: An encoded file, or None.
        frame: uint8 ``[H, W, 3]``, BGR, or None.
        det_threshold: float32 ``[1]``, or None.
        parameters: The request's parameters.
        person_boxes: float32 ``[N, 4]``, people found elsewhere, or None.
        roi: float32 ``[M, 2]``, corners of the region in which people count, or None.
    """

    image: bytes | None
    frame: npt.NDArray[Any] | None
    det_threshold: npt.NDArray[Any] | None
    parameters: Mapping[str, object]
    person_boxes: npt.NDArray[Any] | None = None
    roi: npt.NDArray[Any] | None = None

    @property
    def threshold(self) -> Threshold | None:
        """Return the detector score threshold, if sent: the input, or the parameter of that name.

        BadRequestError: both were sent, or the parameter can't be read.
        """
        by_class = self.parameters.get("det_threshold")
        if self.det_threshold is None and by_class is None:
            return None
        if self.det_threshold is not None and by_class is not None:
            raise BadRequestError(
                "send `det_threshold` as input, or by class as request parameter, not both"
            )
        if self.det_threshold is not None:
            return float(self.det_threshold.reshape(-1)[0])
        try:
            return threshold_from_text(str(by_class), "`det_threshold`")
        except ThresholdError as error:
            raise BadRequestError(str(error)) from None

    def check_image(self, limits: Limits) -> EncodedImage | Image:
        """Check the image as far as that is possible without decoding it; or BadImageError.

        Returns the file, or the pixels, uint8 ``[H, W, 3]``, BGR.
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
        """Check the boxes of people found elsewhere, None if a detector is to find them.

        BadRequestError: a box is malformed, or there are too many.
        """
        if self.person_boxes is None:
            return None
        try:
            boxes = check_boxes(self.person_boxes, "`person_boxes`")
        except RegionError as error:
            raise BadRequestError(str(error)) from None
        if len(boxes) > limits.max_persons:
            raise BadRequestError(
                f"`person_boxes` has {len(boxes)} boxes; up to {limits.max_persons} (max_persons) "
                "are accepted: send them in several requests"
            )
        return Detections(boxes, np.ones(len(boxes), np.float32))

    def region(self) -> FloatArray | None:
        """Check the region in which people count, None for all of the image; or BadRequestError."""
        try:
            return None if self.roi is None else check_region(self.roi, "`roi`")
        except RegionError as error:
            raise BadRequestError(str(error)) from None


@dataclass(frozen=True)
class PoseOptions:
    """Everything decided about one request.

    Attributes:
        detector: The detector to call.
        keypoint_model: The keypoint model to call.
        thresholds: Detector score threshold of each of the detector's `classes`, 0 to 1, or
            infinity for one that doesn't count.
        flip: Whether to average over the mirrored crop.
        use_udp: Whether to crop with unbiased data processing.
        schema: The keypoints.
        fast_decode: Whether a large JPEG is decoded only as finely as models look at it.
    """

    detector: DetectorModel
    keypoint_model: KeypointModel
    thresholds: tuple[float, ...]
    flip: bool
    use_udp: bool
    schema: KeypointSchema
    fast_decode: bool = False


def resolve_options(
    settings: PipelineSettings,
    repository: ModelRepository,
    det_threshold: Threshold | None,
    parameters: Mapping[str, object],
) -> PoseOptions:
    """Combine a request's choices, its threshold and parameters, with the pipeline's settings.

    BadRequestError: a parameter is unknown, of the wrong type or out of range, or names a model
    that the repository does not have for that role.
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
    schema = pose_schema(settings, keypoint_model)
    flip, use_udp = _flag(parameters, "flip"), _flag(parameters, "use_udp")
    if flip is None:
        flip = settings.flip
    if flip and schema.mirrored is None:
        raise BadRequestError(
            f"`flip` needs to know which keypoints of {keypoint_model.name!r} change places in a "
            "mirrored image: give them as `flip_pairs` in the section `Keypoints` of the pipeline "
            "file that the server is started with, or in keypoints.yml beside the model"
        )
    if use_udp is None:
        use_udp = keypoint_model.use_udp if settings.use_udp is None else settings.use_udp
    return PoseOptions(
        detector=detector,
        keypoint_model=keypoint_model,
        thresholds=_thresholds(settings, detector, det_threshold),
        flip=flip,
        use_udp=use_udp,
        schema=schema,
        fast_decode=_flag(parameters, "fast_decode") or False,
    )


def pose_schema(settings: PipelineSettings, model: KeypointModel) -> KeypointSchema:
    """Return the keypoints of a model: the pipeline's settings come first, for their own model.

    BadRequestError: the settings are of another number of keypoints.
    """
    chosen = settings.keypoint_schema
    if chosen is None or model.name != settings.keypoint_model:
        return model.schema
    if len(chosen.names) != len(model.schema.names):
        raise BadRequestError(
            f"the pipeline's `Keypoints` are {len(chosen.names)}, but the model {model.name!r} has "
            f"{len(model.schema.names)}: correct the server's pipeline file"
        )
    return chosen


def _thresholds(
    settings: PipelineSettings, detector: DetectorModel, asked: Threshold | None
) -> tuple[float, ...]:
    """Choose the threshold of each class of the detector."""
    threshold, name = asked, "`det_threshold`"
    own = detector.name == settings.detector
    # One by class is of the detector that it was written for.
    if threshold is None and (own or not isinstance(settings.threshold, Mapping)):
        threshold, name = settings.threshold, "the pipeline's `threshold`"
    if threshold is None:
        threshold = detector.threshold
    try:
        checked = check_threshold(threshold, name)
        thresholds = class_thresholds(checked, name, detector.labels, detector.classes)
    except ThresholdError as error:
        raise BadRequestError(str(error)) from None
    if settings.classes is None or not own:
        return thresholds
    return tuple(
        value if index in settings.classes else math.inf
        for index, value in zip(detector.classes, thresholds, strict=True)
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
