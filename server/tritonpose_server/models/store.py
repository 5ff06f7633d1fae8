"""The cache of converted models: one directory per model, ready for Triton."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonpose_pipeline.errors import ModelError
from tritonpose_pipeline.repository import CONFIG_FILE, PLAIN_NAME, read_config
from tritonpose_server.embedded.staging import PIPELINE
from tritonpose_server.models.directories import part_directory, replaced_directory
from tritonpose_server.models.errors import ConversionError, HomeError
from tritonpose_server.models.home import explained_errors, user, writable_directory
from tritonpose_server.models.triton_config import config_text

if TYPE_CHECKING:
    import onnx

# Part of every cache key: raise it when the same source would give another model.
CONVERTER_VERSION = 3

Progress = Callable[[str], None]
"""Called with lines for the user."""

PROVENANCE_FILE = "provenance.json"


def check_model_name(name: str) -> None:
    """Raise `ConversionError` for names that can't be served."""
    if not PLAIN_NAME.fullmatch(name):
        raise ConversionError(
            f"{name!r} can't be a model name: use up to 128 of the letters a to z and A to Z, "
            "digits, '_', '.', '+' and '-', and no '.' first. `--name`, or `model_name` in a "
            "pipeline file, gives a model another name"
        )
    if is_reserved(name):
        raise ConversionError(
            f"{name!r} is the name of the pipeline itself, next to which no server could load this "
            "model: choose another name"
        )


def is_reserved(name: str) -> bool:
    """Whether a name is one of the pipeline's own two, but for upper and lower case."""
    # The two differ in nothing else; a name between them is as confusing.
    return name.casefold().replace("-", "_") == PIPELINE


def config_path(model: Path, name: str) -> Path:
    """Return where Triton looks for what ``--model-config-name`` calls ``name``."""
    return model / "configs" / f"{name}.pbtxt"


def installed_config(path: Path) -> ModelConfig:
    """Read a configuration of an installed model; HomeError if it is damaged."""
    try:
        return read_config(path)
    except (ModelError, OSError) as error:
        raise HomeError(
            f"{path} is damaged ({error}): remove the model's directory and install it again"
        ) from error


@dataclass(frozen=True)
class ModelFiles:
    """Content of a model directory.

    ``model`` is the ONNX model, or a file whose content it shares where the file system can.
    ``provenance`` are JSON-serializable facts; ``configs`` further configurations, by what
    ``--model-config-name`` calls them.
    """

    model: onnx.ModelProto | Path
    config: ModelConfig
    provenance: Mapping[str, object]
    configs: Mapping[str, ModelConfig] = field(default_factory=dict)


class ModelStore:
    """Model directories under one root, each named like its Triton model."""

    def __init__(self, root: Path) -> None:
        """Open the store; the directory is made when the first model is added."""
        self.root = root

    def path(self, name: str) -> Path:
        """Return the directory of the model ``name``, whether or not it exists."""
        return self.root / name

    def model_file(self, name: str) -> Path:
        """Return the path of the ONNX file of the model ``name``, whether or not it exists."""
        return self.path(name) / "1" / "model.onnx"

    def names(self) -> list[str]:
        """Return the names of the installed models, sorted."""
        # What begins with a dot is half of a model, left by an interrupted change.
        return sorted(path.parent.name for path in self.root.glob(f"[!.]*/{CONFIG_FILE}"))

    def remove(self, name: str) -> None:
        """Remove the model ``name``, or raise `ConversionError` if it is not installed."""
        self.require(name)
        with explained_errors(self.root):
            # Hidden first: a running server must not see half a model.
            retired = part_directory(self.path(name))
            self.path(name).rename(retired)
            shutil.rmtree(retired)

    def require(self, name: str) -> dict[str, object]:
        """Return the provenance of a model, or raise `ConversionError` if it is not installed."""
        provenance = self.provenance(name) if PLAIN_NAME.fullmatch(name) else None
        if provenance is None:
            raise ConversionError(
                f"no model {name!r} is installed; installed: {', '.join(self.names()) or 'none'}"
            )
        return provenance

    def provenance(self, name: str) -> dict[str, object] | None:
        """Return the provenance of the model ``name``, None where it is not in the store."""
        path = self.path(name) / PROVENANCE_FILE
        try:
            content = json.loads(path.read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise HomeError(
                f"{path} can't be read ({error.strerror}): make it readable for {user()}"
            ) from error
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise HomeError(f"{path} is damaged: remove {path.parent} and install the model again")
        return content

    def add(self, name: str, files: ModelFiles) -> Path:
        """Put a model in place as a whole, replacing one of the same name; return its directory."""
        check_model_name(name)
        writable_directory(self.root)
        with explained_errors(self.root), replaced_directory(self.path(name)) as staging:
            (staging / "1").mkdir()
            target = staging / "1" / "model.onnx"
            if isinstance(files.model, Path):
                _link(files.model, target)
            else:
                # It takes long to import, and only what is converted needs it.
                import onnx

                onnx.save(files.model, target)
            (staging / CONFIG_FILE).write_text(config_text(files.config), "utf-8")
            for config_name, config in files.configs.items():
                path = config_path(staging, config_name)
                path.parent.mkdir(exist_ok=True)
                path.write_text(config_text(config), "utf-8")
            (staging / PROVENANCE_FILE).write_text(
                json.dumps(files.provenance, indent=2) + "\n", "utf-8"
            )
        return self.path(name)


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digest_files(*paths: Path) -> str:
    """Return the SHA-256 over the contents of files, in the given order, as hexadecimal text."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(bytes.fromhex(file_sha256(path)))
    return digest.hexdigest()
