"""The pipeline's own settings, which the launcher writes and the model reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tritonpose_pipeline.errors import ModelError


@dataclass(frozen=True)
class PipelineSettings:
    """What holds where a request chooses nothing else.

    Attributes:
        detector: Triton model name.
        keypoint_model: Triton model name.
        threshold: Detector score threshold, 0 to 1; None for the detector's own.
        flip: Whether to average over the mirrored crop.
        use_udp: Whether to crop with unbiased data processing; None for the model's own.
    """

    detector: str
    keypoint_model: str
    threshold: float | None = None
    flip: bool = False
    use_udp: bool | None = None

    def to_parameters(self) -> dict[str, str | None]:
        """Write the settings as ``parameters`` of the pipeline's ``config.pbtxt``.

        Returns:
            All parameters that `from_parameters` reads; None for those to leave out.
        """
        return {
            "detector": self.detector,
            "keypoint_model": self.keypoint_model,
            "threshold": None if self.threshold is None else f"{self.threshold:.9g}",
            "flip": str(self.flip).lower(),
            "use_udp": None if self.use_udp is None else str(self.use_udp).lower(),
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
        )


def _threshold(text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    # Written so that NaN is refused, too.
    if not 0 <= value <= 1:
        raise ModelError(
            f"the pipeline's parameter `threshold` must be a number from 0 to 1, got {text!r}"
        )
    return value


def _flag(parameters: Mapping[str, str], key: str) -> bool | None:
    text = parameters.get(key, "")
    if text not in ("", "true", "false"):
        raise ModelError(f"the pipeline's parameter `{key}` must be true or false, got {text!r}")
    return text == "true" if text else None
