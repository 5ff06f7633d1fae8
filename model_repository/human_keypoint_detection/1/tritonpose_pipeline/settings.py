"""The pipeline's own settings, which the launcher writes and the model reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tritonpose_pipeline.errors import ModelError
from tritonpose_pipeline.keypoint_schema import KeypointSchema, KeypointSchemaError
from tritonpose_pipeline.thresholds import (
    Threshold,
    ThresholdError,
    read_class_ids,
    threshold_from_text,
    threshold_text,
)


@dataclass(frozen=True)
class PipelineSettings:
    """What holds where a request chooses nothing else.

    Attributes:
        detector: Triton model name.
        keypoint_model: Triton model name.
        threshold: Detector score threshold, also by class; None for the detector's own.
        classes: Ids of the classes of `detector` that count; None for all that it was made for.
        flip: Whether to average over the mirrored crop.
        use_udp: Whether to crop with unbiased data processing; None for the model's own.
        keypoint_schema: The keypoints of `keypoint_model`; None for what is known of it.
    """

    detector: str
    keypoint_model: str
    threshold: Threshold | None = None
    flip: bool = False
    use_udp: bool | None = None
    classes: tuple[int, ...] | None = None
    keypoint_schema: KeypointSchema | None = None

    def to_parameters(self) -> dict[str, str | None]:
        """Write all parameters that `from_parameters` reads, None for those to leave out."""
        return {
            "detector": self.detector,
            "keypoint_model": self.keypoint_model,
            "threshold": None if self.threshold is None else threshold_text(self.threshold),
            "flip": str(self.flip).lower(),
            "use_udp": None if self.use_udp is None else str(self.use_udp).lower(),
            "classes": None if self.classes is None else ",".join(map(str, self.classes)),
            "keypoint_schema": None
            if self.keypoint_schema is None
            else self.keypoint_schema.to_json(),
        }

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> PipelineSettings:
        """Read the settings from ``parameters`` of the pipeline's ``config.pbtxt``.

        Raises:
            ModelError: A parameter is missing or malformed.
        """
        for key in ("detector", "keypoint_model"):
            if not parameters.get(key):
                raise ModelError(f"the pipeline's configuration has no parameter `{key}`")
        return cls(
            detector=parameters["detector"],
            keypoint_model=parameters["keypoint_model"],
            threshold=_threshold(parameters.get("threshold", "")),
            flip=_flag(parameters, "flip") or False,
            use_udp=_flag(parameters, "use_udp"),
            classes=_classes(parameters.get("classes", "")),
            keypoint_schema=_schema(parameters.get("keypoint_schema", "")),
        )


def _threshold(text: str) -> Threshold | None:
    try:
        return threshold_from_text(text, "`threshold`") if text else None
    except ThresholdError as error:
        raise ModelError(f"the pipeline's parameter {error}") from None


def _classes(text: str) -> tuple[int, ...] | None:
    classes = read_class_ids(text)
    if text and classes is None:
        raise ModelError(
            f"the pipeline's parameter `classes` must be ids of classes, such as 0,2, got {text!r}"
        )
    return classes


def _schema(text: str) -> KeypointSchema | None:
    try:
        return KeypointSchema.from_json(text, "keypoint_schema") if text else None
    except KeypointSchemaError as error:
        raise ModelError(f"the pipeline's parameter {error}") from None


def _flag(parameters: Mapping[str, str], key: str) -> bool | None:
    text = parameters.get(key, "")
    if text not in ("", "true", "false"):
        raise ModelError(f"the pipeline's parameter `{key}` must be true or false, got {text!r}")
    return text == "true" if text else None
