"""The models that the pipeline can call: their configurations in the model repositories."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from tritonpose_pipeline.errors import ModelError
from tritonpose_pipeline.model_facts import (
    DetectorModel,
    KeypointModel,
    parse_detector,
    parse_keypoint,
)

# A name comes from outside: it must be a plain child of the repository.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,127}")


class ModelRepository:
    """Reads the facts of models from their ``config.pbtxt``.

    Files are read again when they change, so that models can be added to, replaced in and
    removed from a running server. Safe to use from several threads.
    """

    def __init__(self, *roots: Path) -> None:
        """Open repositories.

        Args:
            roots: Directories whose children are model directories.
        """
        self._roots = roots
        self._configs: dict[Path, tuple[int, model_config_pb2.ModelConfig]] = {}

    def detector(self, name: str) -> DetectorModel:
        """Facts of the detector ``name``.

        Raises:
            ModelError: It is not installed, or not usable as a detector.
        """
        config = self._read(name, "detector")
        return parse_detector(name, _image_dims(name, config), _parameters(config))

    def keypoint_model(self, name: str) -> KeypointModel:
        """Facts of the keypoint model ``name``.

        Raises:
            ModelError: It is not installed, or not usable as a keypoint model.
        """
        config = self._read(name, "keypoint")
        return parse_keypoint(
            name, _image_dims(name, config), config.max_batch_size, _parameters(config)
        )

    def names(self, role: str) -> list[str]:
        """Names of the installed models of a role, ``"detector"`` or ``"keypoint"``."""
        # Reversed, so that of two models with one name the one that would be used remains.
        paths = {
            path.parent.name: path
            for root in reversed(self._roots)
            for path in root.glob("*/config.pbtxt")
            if _PLAIN_NAME.fullmatch(path.parent.name)
        }
        return sorted(name for name, path in paths.items() if self._role(path) == role)

    def _read(self, name: str, role: str) -> model_config_pb2.ModelConfig:
        paths = [root / name / "config.pbtxt" for root in self._roots]
        if _PLAIN_NAME.fullmatch(name):
            with contextlib.suppress(OSError):
                return self._load(next(filter(Path.is_file, paths), paths[0]))
        raise self._not_installed(name, role)

    def _role(self, path: Path) -> str | None:
        try:
            return _parameters(self._load(path)).get("role")
        except (ModelError, OSError):
            return None

    def _load(self, path: Path) -> model_config_pb2.ModelConfig:
        modified = path.stat().st_mtime_ns
        cached = self._configs.get(path)
        if cached and cached[0] == modified:
            return cached[1]
        config = model_config_pb2.ModelConfig()
        try:
            text_format.Parse(path.read_text("utf-8"), config)
        except (text_format.ParseError, UnicodeDecodeError) as error:
            raise ModelError(f"model {path.parent.name!r}: config.pbtxt: {error}") from error
        self._configs[path] = (modified, config)
        return config

    def _not_installed(self, name: str, role: str) -> ModelError:
        installed = ", ".join(self.names(role)) or "none"
        return ModelError(
            f"no {role} model {name!r} is installed on this server; installed: {installed}"
        )


def _parameters(config: model_config_pb2.ModelConfig) -> dict[str, str]:
    return {key: value.string_value for key, value in config.parameters.items()}


def _image_dims(name: str, config: model_config_pb2.ModelConfig) -> tuple[int, ...]:
    for tensor in config.input:
        if tensor.name == "image":
            return tuple(tensor.dims)
    raise ModelError(f"model {name!r} has no input `image`")
