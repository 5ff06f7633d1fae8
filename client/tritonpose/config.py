"""PaddleX pipeline configurations: a pipeline name, a YAML file or a dict.

A field is ``None`` where the user made no choice; there the server's own settings apply.
"""

from __future__ import annotations

import ast
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tritonpose.errors import ConfigError
from tritonpose.yaml_files import read_yaml
from tritonpose_pipeline.keypoint_schema import KeypointSchema, KeypointSchemaError
from tritonpose_pipeline.thresholds import Threshold, ThresholdError
from tritonpose_pipeline.thresholds import check_threshold as check_value

# Which PaddleX's files may have; about what a server decides, or without a meaning here.
_PADDLEX_KEYS = {
    *("module_name", "SubPipelines", "Serving", "device", "use_hpip", "hpi_config", "pp_option"),
    *("engine", "engine_config", "genai_config"),
}

_LONGEST_LITERAL = 1000

PIPELINE_NAME = "human_keypoint_detection"
"""The one PaddleX pipeline that tritonpose serves."""


@dataclass(frozen=True, kw_only=True)
class ModuleConfig:
    """The settings that every module of the pipeline has.

    Attributes:
        model_name: The model's name, such as ``PP-YOLOE-S_human``.
        model_dir: Absolute path of a directory with the user's own model; it may not exist.
        batch_size: Accepted from PaddleX's files; the server batches by itself.
    """

    model_name: str | None = None
    model_dir: Path | None = None
    batch_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class DetectorConfig(ModuleConfig):
    """The ``ObjectDetection`` module.

    Attributes:
        threshold: Detector score that a person must exceed, 0 to 1; or of each class, by its label
            or id.
        img_size: Network size as (height, width) in pixels.
        classes: Labels or ids of the classes that count as people.
    """

    threshold: Threshold | None = None
    img_size: tuple[int, int] | None = None
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class KeypointConfig(ModuleConfig):
    """The ``KeypointDetection`` module.

    Attributes:
        flip: Average the result with that of the mirrored crop.
        use_udp: Crop with UDP's unbiased transform (Huang et al., CVPR 2020).
    """

    flip: bool | None = None
    use_udp: bool | None = None


@dataclass(frozen=True)
class PipelineConfig:
    """A whole pipeline; without arguments, one that leaves every choice to the server.

    Attributes:
        detector: The settings of the detector.
        keypoint: The settings of the keypoint model.
        visualize: Whether responses of a service have a picture, unless the request chooses.
        keypoints: What the keypoints are: the section `Keypoints`.
        fast_decode: Decode large JPEGs only as finely as the models look at them; of no file.
    """

    detector: DetectorConfig = DetectorConfig()
    keypoint: KeypointConfig = KeypointConfig()
    visualize: bool | None = None
    keypoints: KeypointSchema | None = None
    fast_decode: bool = False

    @classmethod
    def load(
        cls,
        pipeline: str | os.PathLike[str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> PipelineConfig:
        """Parse what PaddleX's ``create_pipeline`` accepts.

        Args:
            pipeline: The name ``human_keypoint_detection``, or the path of a YAML file (it ends
                in .yaml or .yml).
            config: The content of such a file. Where both are given this one is used.

        Returns:
            The parsed configuration. Unknown keys are ignored with a warning.

        Raises:
            ConfigError: Neither is given, both are and disagree, the file can't be read, or a
                value is missing or has the wrong type.
        """
        content: Any = config
        origin = "config"
        if config is None:
            if pipeline is None:
                raise ConfigError(
                    f"give a pipeline: {PIPELINE_NAME!r}, a YAML file, or config={{...}}"
                )
            if not _is_yaml(pipeline):
                _check_name(pipeline, "pipeline", " or a file that ends in .yaml or .yml")
                return cls()
            content, origin = _read_yaml(Path(pipeline)), os.fspath(pipeline)
        elif not isinstance(config, Mapping):
            raise ConfigError(f"config={config!r}: expected a dict, as loaded from a YAML file")
        elif pipeline is not None and not _is_yaml(pipeline):
            _check_name(pipeline, "pipeline")
        root = _Section(content, origin, separator=": ")
        _check_name(root.get("pipeline_name"), root.name("pipeline_name"))
        modules = root.section("SubModules")
        detector = modules.section("ObjectDetection")
        keypoint = modules.section("KeypointDetection")
        parsed = cls(
            DetectorConfig(
                **_module_fields(detector),
                threshold=check_threshold(detector.get("threshold"), detector.name("threshold")),
                img_size=_image_size(detector),
                classes=check_classes(detector.get("classes"), detector.name("classes")),
            ),
            KeypointConfig(
                **_module_fields(keypoint),
                flip=_boolean(keypoint, "flip"),
                use_udp=_boolean(keypoint, "use_udp"),
            ),
            visualize=_boolean(root.section("Serving"), "visualize") if "Serving" in root else None,
            keypoints=_keypoints(root),
        )
        _warn_of_unknown(root, modules, detector, keypoint)
        return parsed


def check_threshold(value: object, name: str) -> Threshold | None:
    """Check a detection threshold; 0 is a valid one.

    Args:
        value: A number from 0 to 1, a mapping of classes (labels or ids) to such numbers, or None
            for no choice.
        name: What to call it in the message.

    Raises:
        ConfigError: It is none of these.
    """
    try:
        return None if value is None else check_value(value, name)
    except ThresholdError as error:
        raise ConfigError(str(error)) from None


def check_classes(value: object, name: str) -> tuple[str, ...] | None:
    """Check which classes of a detector count; an id becomes its text, None is no choice.

    Raises:
        ConfigError: It is neither a label or id nor a list of them; `name` is what to call it.
    """
    if value is None:
        return None
    classes = value if isinstance(value, list | tuple) else [value]
    proper = [isinstance(each, int | str) and not isinstance(each, bool) for each in classes]
    if not classes or not all(proper) or not all(str(each).strip() for each in classes):
        raise _wrong(name, value, "a list of classes: labels, or ids from 0")
    return tuple(dict.fromkeys(map(str, classes)))


@dataclass(frozen=True)
class _Section:
    """A mapping within the configuration that knows its own name for messages."""

    content: Any
    path: str
    separator: str = "."
    read: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if not isinstance(self.content, Mapping):
            raise _wrong(self.path, self.content, "a mapping of keys to values")

    def __contains__(self, key: str) -> bool:
        self.read.add(key)
        return key in self.content

    def name(self, key: str) -> str:
        return f"{self.path}{self.separator}{key}"

    def get(self, key: str) -> object:
        self.read.add(key)
        return self.content.get(key)

    def section(self, key: str) -> _Section:
        if key not in self:
            raise ConfigError(f"{self.name(key)} is missing; PaddleX's pipeline files have it")
        return _Section(self.content[key], self.name(key))


def _warn_of_unknown(*sections: _Section) -> None:
    """Warn of keys that nothing reads, as misspelled ones; once all others were read."""
    for section in sections:
        for key in map(str, section.content):
            if key in section.read or key in _PADDLEX_KEYS:
                continue
            alike = get_close_matches(key, section.read, 1)
            hint = f"; did you mean {alike[0]!r}?" if alike else ""
            warnings.warn(f"{section.name(key)} is unknown and has no effect{hint}", stacklevel=3)


def _read_yaml(path: Path) -> object:
    """Read a PaddleX pipeline file; raise ConfigError."""
    try:
        content = read_yaml(path)
    except OSError as error:
        raise ConfigError(f"can't read the pipeline file {str(path)!r}: {error}") from error
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return _evaluate_literals(content)


def _module_fields(section: _Section) -> dict[str, Any]:
    """Read the fields of ModuleConfig."""
    model_name = section.get("model_name")
    if not isinstance(model_name, str) or not model_name:
        raise _wrong(section.name("model_name"), model_name, "the name of a model")
    model_dir = section.get("model_dir")
    if model_dir is not None and not (isinstance(model_dir, str | os.PathLike) and str(model_dir)):
        raise _wrong(section.name("model_dir"), model_dir, "the path of a directory, or null")
    batch_size = section.get("batch_size")
    if batch_size is not None and not is_positive(batch_size):
        raise _wrong(section.name("batch_size"), batch_size, "a positive whole number, or null")
    return {
        "model_name": model_name,
        "model_dir": None if model_dir is None else Path.cwd() / model_dir,
        "batch_size": batch_size,
    }


def _image_size(section: _Section) -> tuple[int, int] | None:
    """Read the network size from ``img_size`` (PaddleX's files) or ``imgsz`` (its code)."""
    sizes = {}
    for key in ("img_size", "imgsz"):
        value = section.get(key)
        if value is None:
            continue
        pair = [value, value] if is_positive(value) else value
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(map(is_positive, pair))):
            raise _wrong(section.name(key), value, "a size in pixels, [height, width], or null")
        sizes[key] = (pair[0], pair[1])
    if len(set(sizes.values())) > 1:
        raise ConfigError(f"{section.path}: img_size and imgsz disagree: {sizes}; keep one of them")
    return next(iter(sizes.values()), None)


def _keypoints(root: _Section) -> KeypointSchema | None:
    content = root.get("Keypoints")
    try:
        return (
            None
            if content is None
            else KeypointSchema.from_mapping(content, root.name("Keypoints"))
        )
    except KeypointSchemaError as error:
        raise ConfigError(str(error)) from None


def _boolean(section: _Section, key: str) -> bool | None:
    value = section.get(key)
    if value is not None and not isinstance(value, bool):
        raise _wrong(section.name(key), value, "true, false or null")
    return value


def is_positive(value: object) -> bool:
    """Check whether this is a positive whole number."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_yaml(pipeline: str | os.PathLike[str]) -> bool:
    given = isinstance(pipeline, str | os.PathLike)
    return given and os.fspath(pipeline).lower().endswith((".yaml", ".yml"))


def _check_name(name: object, what: str, others: str = "") -> None:
    """Raise ConfigError for any pipeline other than ours."""
    if name != PIPELINE_NAME:
        served = f"{PIPELINE_NAME!r}, the pipeline that tritonpose serves"
        raise _wrong(what, name, f"{served},{others}" if others else served)


def _wrong(name: str, value: object, expected: str) -> ConfigError:
    return ConfigError(f"{name} = {value!r}: expected {expected}")


def _evaluate_literals(content: Any) -> Any:
    """Read strings that spell a Python literal, such as None or "0.5", as that literal.

    PaddleX does so for values within mappings; its users write ``model_dir: None``.
    """
    if isinstance(content, dict):
        return {key: _evaluate_literals(value) for key, value in content.items()}
    # Longer ones spell no value that such a file has, but perhaps a number without end.
    if isinstance(content, str) and len(content) < _LONGEST_LITERAL:
        try:
            return ast.literal_eval(content)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return content
    return content
