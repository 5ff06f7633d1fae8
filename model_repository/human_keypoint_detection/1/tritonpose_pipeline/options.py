"""What a request may choose: models, threshold and refinements."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tritonpose_pipeline.errors import BadRequestError, ModelError
from tritonpose_pipeline.model_facts import DetectorModel, KeypointModel
from tritonpose_pipeline.repository import ModelRepository
from tritonpose_pipeline.settings import PipelineSettings

_CHOICES = ("detector", "keypoint_model", "flip", "use_udp")


@dataclass(frozen=True)
class PoseOptions:
    """Everything decided about one request.

    Attributes:
        detector: The detector to call.
        keypoint_model: The keypoint model to call.
        threshold: Detector score threshold, 0..1.
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
        det_threshold: The request's tensor ``det_threshold``, if sent.
        parameters: The request's parameters.

    Raises:
        BadRequestError: A parameter is unknown, of the wrong type or out of range, or names
            a model that the server does not offer for that role.
    """
    for key in parameters:
        # Triton hands its own bookkeeping to models as parameters of these prefixes.
        if key not in _CHOICES and not key.startswith(("triton_", "header_", "sequence_")):
            raise BadRequestError(
                f"unknown request parameter {key!r}; the pipeline knows {', '.join(_CHOICES)}"
            )
    detector_name = _text(parameters, "detector") or settings.detector
    keypoint_name = _text(parameters, "keypoint_model") or settings.keypoint_model
    try:
        detector = repository.detector(detector_name)
        keypoint_model = repository.keypoint_model(keypoint_name)
    except ModelError as error:
        raise BadRequestError(str(error)) from error
    if det_threshold is not None:
        threshold = _check_threshold(det_threshold, "det_threshold")
    else:
        threshold = detector.threshold if settings.threshold is None else settings.threshold
    flip = _flag(parameters, "flip")
    use_udp = _flag(parameters, "use_udp")
    if use_udp is None:
        use_udp = keypoint_model.use_udp if settings.use_udp is None else settings.use_udp
    return PoseOptions(
        detector=detector,
        keypoint_model=keypoint_model,
        threshold=threshold,
        flip=settings.flip if flip is None else flip,
        use_udp=use_udp,
    )


def _check_threshold(value: float, name: str) -> float:
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise BadRequestError(f"`{name}` must be a number from 0 to 1, got {value}")
    return value


def _text(parameters: Mapping[str, object], key: str) -> str | None:
    value = parameters.get(key)
    if value is not None and not isinstance(value, str):
        raise BadRequestError(f"request parameter `{key}` must be a model name, got {value!r}")
    return value


def _flag(parameters: Mapping[str, object], key: str) -> bool | None:
    value = parameters.get(key)
    if value is not None and not isinstance(value, bool):
        raise BadRequestError(f"request parameter `{key}` must be true or false, got {value!r}")
    return value
