"""The models that the pipeline can call, and what it must know of them.

These facts travel with a model as ``parameters`` of its ``config.pbtxt``, written when the model is
converted, so that a fine-tuned model brings its own.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import cv2
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from tritonpose_pipeline.errors import ModelError
from tritonpose_pipeline.keypoint_schema import (
    KeypointSchema,
    KeypointSchemaError,
    default_schema,
)
from tritonpose_pipeline.thresholds import read_class_ids

CONFIG_FILE = "config.pbtxt"
"""Of a model, in its directory."""

PLAIN_NAME = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,127}")
"""Of a model: Triton and file systems take it without surprises; it leads out of no directory."""

# Where a configuration doesn't say how many: models of the first versions.
_COCO_JOINTS = 17

_Identity = tuple[int, int, int, int]

_INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos4": cv2.INTER_LANCZOS4,
}


@dataclass(frozen=True)
class NmsSettings:
    """Settings of ``multiclass_nms3`` for one class (``nms_eta`` 1, normalized boxes).

    Attributes:
        score_threshold: Candidates need a score strictly above it.
        iou_threshold: A box is suppressed by a better one if their IoU is strictly above it.
        top_k: Candidates considered, best first; -1 for all.
        keep_top_k: Boxes kept, at least 1, best first; -1 for all.
    """

    score_threshold: float
    iou_threshold: float
    top_k: int = -1
    keep_top_k: int = -1


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
        labels: Of all classes of the network; empty where they are unknown.
        classes: Ids of the classes that count as people, one per row of the output `scores`.
    """

    name: str
    height: int
    width: int
    interpolation: int
    keep_ratio: bool
    pad_value: tuple[int, int, int]
    nms: NmsSettings
    threshold: float
    labels: tuple[str, ...] = ()
    classes: tuple[int, ...] = (0,)

    @classmethod
    def from_config(cls, name: str, config: model_config_pb2.ModelConfig) -> DetectorModel:
        """Read the facts from a model's configuration; ModelError names the one that is wrong."""
        facts = _Facts(name, "detector", config)
        return cls(
            name,
            *facts.size(),
            interpolation=_INTERPOLATIONS[facts.choice("interpolation", tuple(_INTERPOLATIONS))],
            keep_ratio=facts.flag("keep_ratio"),
            pad_value=facts.rgb("pad_value"),
            nms=NmsSettings(
                score_threshold=facts.fraction("nms_score_threshold"),
                iou_threshold=facts.fraction("nms_iou_threshold"),
                top_k=facts.positive_or_unlimited("nms_top_k"),
                keep_top_k=facts.positive_or_unlimited("nms_keep_top_k"),
            ),
            threshold=facts.fraction("threshold"),
            labels=facts.labels(),
            classes=facts.classes(),
        )


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
        schema: Its keypoints.
    """

    name: str
    height: int
    width: int
    max_batch_size: int
    flip_shift: bool
    use_udp: bool
    schema: KeypointSchema

    @classmethod
    def from_config(cls, name: str, config: model_config_pb2.ModelConfig) -> KeypointModel:
        """Read the facts from a model's configuration; ModelError names the one that is wrong."""
        facts = _Facts(name, "keypoint", config)
        return cls(
            name,
            *facts.size(),
            max_batch_size=max(config.max_batch_size, 1),
            flip_shift=facts.flag("flip_shift"),
            use_udp=facts.flag("use_udp"),
            schema=facts.schema(),
        )


Model = TypeVar("Model", DetectorModel, KeypointModel)


class ModelRepository:
    """Reads the facts of models from their ``config.pbtxt``.

    Files are read again when they change, so that models can be added to, replaced in and
    removed from a running server. Safe to use from several threads.
    """

    def __init__(self, *roots: Path, fresh_s: float = 0.0) -> None:
        """Open repositories: directories whose children are model directories.

        For ``fresh_s`` seconds after a file was looked at, it counts as unchanged.
        """
        self._roots = roots
        self._fresh_s = fresh_s
        self._fresh: dict[tuple[type, str], tuple[float, Any]] = {}
        self._configs: dict[Path, tuple[_Identity, model_config_pb2.ModelConfig]] = {}

    def detector(self, name: str) -> DetectorModel:
        """Read the facts of a detector; ModelError if it is not installed, or is none."""
        return self._facts(DetectorModel, name, "detector")

    def keypoint_model(self, name: str) -> KeypointModel:
        """Read the facts of a keypoint model; ModelError if it is not installed, or is none."""
        return self._facts(KeypointModel, name, "keypoint")

    def names(self, role: str) -> list[str]:
        """List the names of the installed models of a role, ``"detector"`` or ``"keypoint"``."""
        # Reversed, so that of two models with one name the one that would be used remains.
        paths = {
            path.parent.name: path
            for root in reversed(self._roots)
            for path in root.glob(f"*/{CONFIG_FILE}")
            if PLAIN_NAME.fullmatch(path.parent.name)
        }
        return sorted(name for name, path in paths.items() if self._role(path) == role)

    def _facts(self, kind: type[Model], name: str, role: str) -> Model:
        now = time.monotonic()
        until, model = self._fresh.get((kind, name), (now, None))
        if model is None or now >= until:
            model = kind.from_config(name, self._read(name, role))
            self._fresh[kind, name] = now + self._fresh_s, model
        return cast("Model", model)

    def _read(self, name: str, role: str) -> model_config_pb2.ModelConfig:
        paths = [root / name / CONFIG_FILE for root in self._roots]
        if PLAIN_NAME.fullmatch(name):
            with contextlib.suppress(OSError):
                return self._load(next(filter(Path.is_file, paths), paths[0]))
        raise self._not_installed(name, role)

    def _role(self, path: Path) -> str | None:
        try:
            return _parameters(self._load(path)).get("role")
        except (ModelError, OSError):
            return None

    def _load(self, path: Path) -> model_config_pb2.ModelConfig:
        # A date alone may stay, where files are copied with it or come out of an image.
        facts = path.stat()
        identity = (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        cached = self._configs.get(path)
        if cached and cached[0] == identity:
            return cached[1]
        config = read_config(path)
        self._configs[path] = (identity, config)
        return config

    def _not_installed(self, name: str, role: str) -> ModelError:
        installed = ", ".join(self.names(role)) or "none"
        return ModelError(
            f"no {role} model {name!r} is installed on this server; installed: {installed}"
        )


def read_config(path: Path) -> model_config_pb2.ModelConfig:
    """Read a model's configuration; ModelError if it is malformed, OSError if it can't be read."""
    try:
        return text_format.Parse(path.read_text("utf-8"), model_config_pb2.ModelConfig())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ModelError(f"model {path.parent.name!r}: {path.name}: {error}") from error


def _parameters(config: model_config_pb2.ModelConfig) -> dict[str, str]:
    return {key: value.string_value for key, value in config.parameters.items()}


class _Facts:
    """Typed access to a model's parameters, with errors that name model and key."""

    def __init__(self, name: str, role: str, config: model_config_pb2.ModelConfig) -> None:
        self._name = name
        self._config = config
        self._parameters = _parameters(config)
        found = self._parameters.get("role")
        if found != role:
            raise ModelError(
                f"model {name!r} can't be used as {role} model: its configuration's parameter "
                f"`role` is {found!r}"
            )

    def size(self) -> tuple[int, int]:
        """Return the height and width of the input `image`."""
        for tensor in self._config.input:
            if tensor.name == "image":
                dims = list(tensor.dims)
                if len(dims) == 3 and dims[2] == 3 and min(dims) > 0:
                    return dims[0], dims[1]
                raise ModelError(
                    f"model {self._name!r}: input `image` must have dims [height, width, 3], "
                    f"got {dims}"
                )
        raise ModelError(f"model {self._name!r} has no input `image`")

    def schema(self) -> KeypointSchema:
        """Return the keypoints, one per channel of the output `heatmap`."""
        channels = next((t.dims[0] for t in self._config.output if t.name == "heatmap"), -1)
        text = self._parameters.get("keypoint_schema")
        if not text:
            return default_schema(channels if channels > 0 else _COCO_JOINTS)
        try:
            schema = KeypointSchema.from_json(text, "parameter `keypoint_schema`")
        except KeypointSchemaError as error:
            raise ModelError(f"model {self._name!r}: {error}") from None
        if channels not in (-1, len(schema.names)):
            raise ModelError(
                f"model {self._name!r}: parameter `keypoint_schema` names {len(schema.names)} "
                f"keypoints, but the output `heatmap` has {channels}"
            )
        return schema

    def labels(self) -> tuple[str, ...]:
        text = self._parameters.get("labels", "[]")
        with contextlib.suppress(ValueError):
            labels = json.loads(text)
            if isinstance(labels, list) and all(isinstance(label, str) for label in labels):
                return tuple(labels)
        raise self._malformed("labels", text, "a list of texts, as JSON")

    def classes(self) -> tuple[int, ...]:
        text = self._parameters.get("classes", "0")
        if (classes := read_class_ids(text)) is None:
            raise self._malformed("classes", text, "ids of classes, such as 0,2")
        return classes

    def text(self, key: str) -> str:
        try:
            return self._parameters[key]
        except KeyError:
            raise ModelError(
                f"model {self._name!r}: its configuration has no parameter `{key}`; "
                "convert the model again"
            ) from None

    def fraction(self, key: str) -> float:
        text = self.text(key)
        with contextlib.suppress(ValueError):
            value = float(text)
            if 0 <= value <= 1:
                return value
        raise self._malformed(key, text, "a number from 0 to 1")

    def positive_or_unlimited(self, key: str) -> int:
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
