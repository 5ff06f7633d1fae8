"""What the pipeline must know of the models it calls.

These facts travel with a model as ``parameters`` of its ``config.pbtxt``, written when the
model is converted, so that a fine-tuned model brings its own.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

import cv2

from tritonpose_pipeline.errors import ModelError
from tritonpose_pipeline.nms import NmsSettings

Parameters = Mapping[str, str]

_INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos4": cv2.INTER_LANCZOS4,
}


@dataclass(frozen=True)
class DetectorModel:
    """A person detector.

    Attributes:
        name: Triton model name.
        height: Input height in pixels.
        width: Input width in pixels.
        interpolation: OpenCV interpolation flag of the resize.
        keep_ratio: Whether the image keeps its aspect ratio (then it is padded).
        pad_value: R, G, B of the padding, 0..255.
        nms: Settings of non-maximum suppression.
        threshold: Score threshold where neither request nor pipeline names one.
    """

    name: str
    height: int
    width: int
    interpolation: int
    keep_ratio: bool
    pad_value: tuple[int, int, int]
    nms: NmsSettings
    threshold: float


@dataclass(frozen=True)
class KeypointModel:
    """A top-down keypoint model.

    Attributes:
        name: Triton model name.
        height: Input height in pixels.
        width: Input width in pixels.
        max_batch_size: Crops per request.
        flip_shift: Whether mirrored heatmaps are shifted by one pixel when averaged.
        use_udp: Whether it was trained with unbiased data processing.
    """

    name: str
    height: int
    width: int
    max_batch_size: int
    flip_shift: bool
    use_udp: bool


def parse_detector(name: str, dims: tuple[int, ...], parameters: Parameters) -> DetectorModel:
    """Read a detector's facts.

    Args:
        name: Triton model name.
        dims: ``dims`` of its input ``image``: height, width, 3.
        parameters: ``parameters`` of its configuration.

    Raises:
        ModelError: A fact is missing or malformed, or the model is no detector.
    """
    facts = _Facts(name, "detector", parameters)
    height, width = facts.size(dims)
    return DetectorModel(
        name=name,
        height=height,
        width=width,
        interpolation=_INTERPOLATIONS[facts.choice("interpolation", tuple(_INTERPOLATIONS))],
        keep_ratio=facts.flag("keep_ratio"),
        pad_value=facts.rgb("pad_value"),
        nms=NmsSettings(
            score_threshold=facts.share("nms_score_threshold"),
            iou_threshold=facts.share("nms_iou_threshold"),
            top_k=facts.limit("nms_top_k"),
            keep_top_k=facts.limit("nms_keep_top_k"),
        ),
        threshold=facts.share("threshold"),
    )


def parse_keypoint(
    name: str, dims: tuple[int, ...], max_batch_size: int, parameters: Parameters
) -> KeypointModel:
    """Read a keypoint model's facts.

    Args:
        name: Triton model name.
        dims: ``dims`` of its input ``image``: height, width, 3.
        max_batch_size: ``max_batch_size`` of its configuration.
        parameters: ``parameters`` of its configuration.

    Raises:
        ModelError: A fact is missing or malformed, or the model is no keypoint model.
    """
    facts = _Facts(name, "keypoint", parameters)
    height, width = facts.size(dims)
    return KeypointModel(
        name=name,
        height=height,
        width=width,
        max_batch_size=max(max_batch_size, 1),
        flip_shift=facts.flag("flip_shift"),
        use_udp=facts.flag("use_udp"),
    )


class _Facts:
    """Typed access to a model's parameters, with errors that name model and key."""

    def __init__(self, name: str, role: str, parameters: Parameters) -> None:
        self._name = name
        self._parameters = parameters
        found = parameters.get("role")
        if found != role:
            raise ModelError(
                f"model {name!r} can't be used as {role} model: its configuration's parameter "
                f"`role` is {found!r}"
            )

    def size(self, dims: tuple[int, ...]) -> tuple[int, int]:
        if len(dims) != 3 or dims[2] != 3 or min(dims) < 1:
            raise ModelError(
                f"model {self._name!r}: input `image` must have dims [height, width, 3], "
                f"got {list(dims)}"
            )
        return dims[0], dims[1]

    def text(self, key: str) -> str:
        try:
            return self._parameters[key]
        except KeyError:
            raise ModelError(
                f"model {self._name!r}: its configuration has no parameter `{key}`; "
                "convert the model again"
            ) from None

    def share(self, key: str) -> float:
        text = self.text(key)
        with contextlib.suppress(ValueError):
            value = float(text)
            if 0 <= value <= 1:
                return value
        raise self._malformed(key, text, "a number from 0 to 1")

    def limit(self, key: str) -> int:
        text = self.text(key)
        if text != "-1" and not re.fullmatch(r"[1-9]\d{0,8}", text, re.ASCII):
            raise self._malformed(key, text, "a positive integer, or -1 for no limit")
        return int(text)

    def flag(self, key: str) -> bool:
        return self.choice(key, ("false", "true")) == "true"

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        text = self.text(key)
        if text not in choices:
            raise self._malformed(key, text, f"one of {', '.join(choices)}")
        return text

    def rgb(self, key: str) -> tuple[int, int, int]:
        text = self.text(key)
        with contextlib.suppress(ValueError):
            red, green, blue = (int(part) for part in text.split(","))
            if all(0 <= part <= 255 for part in (red, green, blue)):
                return red, green, blue
        raise self._malformed(key, text, "three integers R,G,B from 0 to 255")

    def _malformed(self, key: str, text: str, expected: str) -> ModelError:
        return ModelError(f"model {self._name!r}: parameter `{key}` is {text!r}, not {expected}")
