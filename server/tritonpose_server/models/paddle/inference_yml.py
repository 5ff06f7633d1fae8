"""Reads the ``inference.yml`` that PaddleX and PaddleDetection write beside a model."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonpose.yaml_files import read_yaml
from tritonpose_pipeline.repository import NmsSettings
from tritonpose_server.models.catalog import Role
from tritonpose_server.models.errors import ConversionError

_INTERPOLATIONS = {0: "nearest", 1: "linear", 2: "cubic", 3: "area", 4: "lanczos4"}

# In the order in which they are done, with the keys that are read; Permute's are those of an image
# in the order RGB.
_STEPS: Mapping[str, Collection[str]] = {
    "Resize": ("type", "target_size", "keep_ratio", "interp"),
    "TopDownEvalAffine": ("type", "trainsize", "use_udp"),
    "NormalizeImage": ("type", "is_scale", "norm_type", "mean", "std"),
    "Permute": ("type", "to_bgr", "channel_first"),
}

PP_YOLOE_NMS = NmsSettings(score_threshold=0.01, iou_threshold=0.6, top_k=1000, keep_top_k=100)
"""What the suppression of PaddleX's detectors of people does."""

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Normalization:
    """Normalization ``(pixel * scale - mean) / std`` of 0..255 pixels in the order R, G, B."""

    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def is_identity(self) -> bool:
        """Whether pixels go in as they are."""
        return self == Normalization(1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

    def zero_color(self) -> tuple[int, int, int]:
        """Return the R, G, B nearest to 0 in the network's input, which Paddle pads with."""
        red, green, blue = (min(max(round(mean / self.scale), 0), 255) for mean in self.mean)
        return red, green, blue


@dataclass(frozen=True)
class InferenceYml:
    """Content of an ``inference.yml``.

    ``is_named`` says whether it has ``Global.model_name``; without, the name is the architecture.
    Height and width are in pixels. ``interpolation`` (by OpenCV's name in lower case),
    ``keep_ratio`` and ``threshold`` (``draw_threshold``) are of a detector; ``use_udp`` says
    whether a keypoint model was trained with unbiased data processing. ``nms`` is for a graph
    without suppression, ``has_nms`` says whether the file has it; without, it is PP-YOLOE's.
    ``classes`` are the labels or ids of the classes that the user wants; the file has none.
    """

    model_name: str
    is_named: bool
    role: Role
    height: int
    width: int
    normalization: Normalization
    interpolation: str
    keep_ratio: bool
    labels: tuple[str, ...]
    threshold: float
    use_udp: bool
    classes: tuple[str, ...] | None = None
    nms: NmsSettings = PP_YOLOE_NMS
    has_nms: bool = False


def read_inference_yml(path: Path) -> InferenceYml:
    """Read ``inference.yml``.

    If it is malformed or asks for preprocessing that the pipeline does not do, the
    `ConversionError` names the key.
    """
    try:
        content = read_yaml(path)
    except FileNotFoundError:
        raise ConversionError(
            f"{path} is missing: it describes the model's input. PaddleX writes it beside the "
            "model, PaddleDetection under the name infer_cfg.yml"
        ) from None
    except OSError as error:
        raise ConversionError(f"{path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise ConversionError(str(error)) from error
    if not isinstance(content, dict) or not isinstance(content.get("Preprocess"), list):
        raise ConversionError(f"{path} has no list `Preprocess`: is it a PaddleX inference.yml?")
    try:
        return _interpret(content)
    except ConversionError as error:
        raise ConversionError(f"{path}: {error}") from None


def _interpret(content: Mapping[str, Any]) -> InferenceYml:
    steps = _steps(content["Preprocess"])
    if ("Resize" in steps) == ("TopDownEvalAffine" in steps):
        raise ConversionError(
            "Preprocess must have either `Resize` (a detector) or `TopDownEvalAffine` "
            "(a keypoint model)"
        )
    resize = steps.get("Resize", {})
    affine = steps.get("TopDownEvalAffine", {})
    if resize:
        height, width = _size(resize, "Resize", "target_size")
    else:
        width, height = _size(affine, "TopDownEvalAffine", "trainsize")
    info = content.get("Global") or {}
    if not isinstance(info, dict):
        raise ConversionError(f"Global must be a mapping, got {info!r}")
    labels = content.get("label_list") or []
    if not isinstance(labels, list):
        raise ConversionError(f"label_list must be a list of labels, got {labels!r}")
    return InferenceYml(
        model_name=str(info.get("model_name") or content.get("arch") or "model"),
        is_named=bool(info.get("model_name")),
        role="detector" if resize else "keypoint",
        height=height,
        width=width,
        normalization=_normalization(steps.get("NormalizeImage")),
        interpolation=_interpolation(resize.get("interp", 2)),
        keep_ratio=_flag(resize, "Resize", "keep_ratio", default=False),
        labels=tuple(str(label) for label in labels),
        threshold=_threshold(content.get("draw_threshold", 0.5)),
        use_udp=_flag(affine, "TopDownEvalAffine", "use_udp", default=False),
        nms=_nms(content.get("NMS") or {}),
        has_nms=bool(content.get("NMS")),
    )


def _steps(preprocess: list[object]) -> dict[str, Mapping[str, Any]]:
    """Return the steps by their types, in the only order that the pipeline has."""
    steps: dict[str, Mapping[str, Any]] = {}
    for step in preprocess:
        if not isinstance(step, dict) or not isinstance(step.get("type"), str):
            raise ConversionError(f"Preprocess has a step without `type`: {step}")
        if step["type"] not in _STEPS:
            raise ConversionError(
                f"preprocessing step {step['type']!r} is not supported (supported: Resize or "
                "TopDownEvalAffine, NormalizeImage, Permute)"
            )
        if step["type"] in steps:
            raise ConversionError(f"preprocessing step {step['type']!r} is there twice")
        unknown = sorted(key for key in map(str, step) if key not in _STEPS[step["type"]])
        if unknown:
            raise ConversionError(
                f"{step['type']}.{unknown[0]} is not known, so neither is what it does to images: "
                "remove it if it does nothing"
            )
        steps[step["type"]] = step
    if list(steps) != [name for name in _STEPS if name in steps]:
        raise ConversionError(
            f"preprocessing in the order {', '.join(steps)} is not supported (supported: Resize or "
            "TopDownEvalAffine, then NormalizeImage, then Permute)"
        )
    if steps.get("Permute", {}).get("to_bgr"):
        raise ConversionError(
            "Permute.to_bgr is not supported: the network must take its channels in the order RGB"
        )
    return steps


def _nms(block: object) -> NmsSettings:
    """Interpret ``NMS``, which PaddleDetection writes for networks exported without it as well."""
    if not isinstance(block, dict):
        raise ConversionError(f"NMS must be a mapping, got {block!r}")
    defaults = {
        "score_threshold": PP_YOLOE_NMS.score_threshold,
        "nms_threshold": PP_YOLOE_NMS.iou_threshold,
        "nms_top_k": PP_YOLOE_NMS.top_k,
        "keep_top_k": PP_YOLOE_NMS.keep_top_k,
    }
    numbers: dict[str, float] = {}
    for key, default in defaults.items():
        value = block.get(key, default)
        if not isinstance(value, int | float) or not _is_number(value):
            raise ConversionError(f"NMS.{key} must be a number, got {value!r}")
        numbers[key] = value
    return NmsSettings(
        score_threshold=min(max(float(numbers["score_threshold"]), 0.0), 1.0),
        iou_threshold=min(max(float(numbers["nms_threshold"]), 0.0), 1.0),
        top_k=int(numbers["nms_top_k"]) if numbers["nms_top_k"] > 0 else -1,
        keep_top_k=int(numbers["keep_top_k"]) if numbers["keep_top_k"] > 0 else -1,
    )


def _size(step: Mapping[str, Any], name: str, key: str) -> tuple[int, int]:
    value = step.get(key)
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(_is_number(side) and isinstance(side, int) and side > 0 for side in value)
    ):
        raise ConversionError(f"{name}.{key} must be two positive integers, got {value!r}")
    return value[0], value[1]


def _interpolation(value: object) -> str:
    if isinstance(value, str) and value.lower() in _INTERPOLATIONS.values():
        return value.lower()
    if _is_number(value) and isinstance(value, int) and value in _INTERPOLATIONS:
        return _INTERPOLATIONS[value]
    raise ConversionError(f"Resize.interp must be OpenCV's number 0 to 4, got {value!r}")


def _normalization(step: Mapping[str, Any] | None) -> Normalization:
    """Interpret ``NormalizeImage``; without it pixels go in as they are."""
    if step is None:
        return Normalization(1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    scale = 1.0 / 255.0 if _flag(step, "NormalizeImage", "is_scale", default=True) else 1.0
    norm_type = step.get("norm_type") or "mean_std"
    if norm_type == "none":
        return Normalization(scale, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    if norm_type != "mean_std":
        raise ConversionError(f"NormalizeImage.norm_type {norm_type!r} is not supported")
    mean = _triple(step.get("mean", list(_IMAGENET_MEAN)), "mean")
    std = _triple(step.get("std", list(_IMAGENET_STD)), "std")
    if min(std) <= 0:
        raise ConversionError(f"NormalizeImage.std must be positive, got {list(std)}")
    return Normalization(scale, mean, std)


def _triple(value: object, key: str) -> tuple[float, float, float]:
    if (
        not isinstance(value, list)
        or len(value) != 3
        or not all(_is_number(part) for part in value)
    ):
        raise ConversionError(f"NormalizeImage.{key} must be three numbers, got {value!r}")
    return float(value[0]), float(value[1]), float(value[2])


def _threshold(value: object) -> float:
    if isinstance(value, int | float) and _is_number(value) and 0 <= value <= 1:
        return float(value)
    raise ConversionError(f"draw_threshold must be a number from 0 to 1, got {value!r}")


def _flag(step: Mapping[str, Any], name: str, key: str, *, default: bool) -> bool:
    value = step.get(key, default)
    # PaddleDetection writes some flags as 0 and 1.
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    raise ConversionError(f"{name}.{key} must be true or false, got {value!r}")


def _is_number(value: object) -> bool:
    """Whether a value is a finite number; for Python, true and false are numbers, too."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
