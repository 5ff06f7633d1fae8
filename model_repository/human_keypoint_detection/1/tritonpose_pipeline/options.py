"""What a request may choose: models, threshold and refinements."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tritonpose_pipeline.errors import InvalidRequestError
from tritonpose_pipeline.model_facts import DetectorModel, KeypointModel, ModelError
from tritonpose_pipeline.repository import ModelRepository

_CHOICES = ("detector", "keypoint_model", "flip", "use_udp")


@dataclass(frozen=True)
class PipelineDefaults:
    """What holds where a request is silent.

    Attributes:
        detector: Triton model name.
        keypoint_model: Triton model name.
        threshold: Detector score threshold, None for the detector's own.
        flip: Whether to average over the mirrored crop.
        use_udp: Whether to crop with unbiased data processing, None for the model's own.
    """

    detector: str
    keypoint_model: str
    threshold: float | None
    flip: bool
    use_udp: bool | None

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> PipelineDefaults:
        """Read defaults from ``parameters`` of the pipeline's ``config.pbtxt``.

        Raises:
            ModelError: A parameter is missing or malformed.
        """
        for key in ("detector", "keypoint_model"):
            if not parameters.get(key):
                raise ModelError(f"the pipeline's configuration has no parameter `{key}`")
        text = parameters.get("threshold", "")
        try:
            threshold = _check_threshold(float(text), "threshold") if text else None
        except (ValueError, InvalidRequestError) as error:
            raise ModelError(f"the pipeline's parameter `threshold`: {error}") from None
        return cls(
            detector=parameters["detector"],
            keypoint_model=parameters["keypoint_model"],
            threshold=threshold,
            flip=_parse_default_flag(parameters, "flip") or False,
            use_udp=_parse_default_flag(parameters, "use_udp"),
        )


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
    defaults: PipelineDefaults,
    repository: ModelRepository,
    det_threshold: float | None,
    parameters: Mapping[str, object],
) -> PoseOptions:
    """Combine a request's choices with the defaults.

    Args:
        defaults: The pipeline's defaults.
        repository: Knows the models the server offers.
        det_threshold: The request's tensor ``det_threshold``, if sent.
        parameters: The request's parameters.

    Raises:
        InvalidRequestError: A parameter is unknown, of the wrong type or out of range, or names
            a model that the server does not offer for that role.
    """
    for key in parameters:
        # Triton hands its own bookkeeping to models as parameters of these prefixes.
        if key not in _CHOICES and not key.startswith(("triton_", "header_", "sequence_")):
            raise InvalidRequestError(
                f"unknown request parameter {key!r}; the pipeline knows {', '.join(_CHOICES)}"
            )
    detector_name = _text(parameters, "detector") or defaults.detector
    keypoint_name = _text(parameters, "keypoint_model") or defaults.keypoint_model
    try:
        detector = repository.detector(detector_name)
        keypoint_model = repository.keypoint_model(keypoint_name)
    except ModelError as error:
        raise InvalidRequestError(str(error)) from error
    if det_threshold is not None:
        threshold = _check_threshold(det_threshold, "det_threshold")
    else:
        threshold = detector.threshold if defaults.threshold is None else defaults.threshold
    flip = _flag(parameters, "flip")
    use_udp = _flag(parameters, "use_udp")
    if use_udp is None:
        use_udp = keypoint_model.use_udp if defaults.use_udp is None else defaults.use_udp
    return PoseOptions(
        detector=detector,
        keypoint_model=keypoint_model,
        threshold=threshold,
        flip=defaults.flip if flip is None else flip,
        use_udp=use_udp,
    )


def _check_threshold(value: float, name: str) -> float:
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise InvalidRequestError(f"`{name}` must be a number from 0 to 1, got {value}")
    return value


def _text(parameters: Mapping[str, object], key: str) -> str | None:
    value = parameters.get(key)
    if value is not None and not isinstance(value, str):
        raise InvalidRequestError(f"request parameter `{key}` must be a model name, got {value!r}")
    return value


def _flag(parameters: Mapping[str, object], key: str) -> bool | None:
    value = parameters.get(key)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequestError(f"request parameter `{key}` must be true or false, got {value!r}")
    return value


def _parse_default_flag(parameters: Mapping[str, str], key: str) -> bool | None:
    text = parameters.get(key, "")
    if text not in ("", "true", "false"):
        raise ModelError(f"the pipeline's parameter `{key}` must be true or false, got {text!r}")
    return text == "true" if text else None
