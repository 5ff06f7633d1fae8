"""The cache of converted models: one directory per model, ready for Triton."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.triton_config import config_text

# Part of every cache key: raise it when the same source would give another model.
CONVERTER_VERSION = 1

Progress = Callable[[str], None]
"""Called with lines for the user."""

CONFIG_FILE = "config.pbtxt"
PROVENANCE_FILE = "provenance.json"

# Directories that are being written or removed; hidden, so that no server loads them.
_PART_SUFFIX = ".tritonpose-part"
# No write takes this long: an older part was left behind by a process that was killed.
_ABANDONED_AFTER_S = 24 * 3600.0


def cache_home() -> Path:
    """Return the directory of everything fetched or built for this user.

    ``$TRITONPOSE_HOME``, else ``$XDG_CACHE_HOME/tritonpose``, else ``~/.cache/tritonpose``.
    """
    home = os.environ.get("TRITONPOSE_HOME")
    if home:
        return Path(home).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "tritonpose"


# What Triton and file systems take without surprises.
_MODEL_NAME = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,127}")


def check_model_name(name: str) -> None:
    """Raise `ConversionError` for names that can't be served."""
    if not _MODEL_NAME.fullmatch(name):
        raise ConversionError(
            f"{name!r} can't be a model name: use up to 128 letters, digits, '_', '.', '+' and '-'"
        )


def config_path(model: Path, name: str) -> Path:
    """Return where Triton looks for what ``--model-config-name`` calls ``name``."""
    return model / "configs" / f"{name}.pbtxt"


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
        # Hidden first: a running server must not see half a model.
        retired = _part_directory(self.path(name))
        self.path(name).rename(retired)
        shutil.rmtree(retired)

    def require(self, name: str) -> dict[str, object]:
        """Return the provenance of a model, or raise `ConversionError` if it is not installed."""
        check_model_name(name)
        provenance = self.provenance(name)
        if provenance is None:
            raise ConversionError(
                f"no model {name!r} is installed; installed: {', '.join(self.names()) or 'none'}"
            )
        return provenance

    def provenance(self, name: str) -> dict[str, object] | None:
        """Return the provenance of the model ``name``, None where it is not in the store."""
        try:
            content = json.loads((self.path(name) / PROVENANCE_FILE).read_text("utf-8"))
        except FileNotFoundError:
            return None
        return dict(content)

    def add(self, name: str, files: ModelFiles) -> Path:
        """Put a model in place as a whole, replacing one of the same name; return its directory."""
        check_model_name(name)
        with replaced_directory(self.path(name)) as staging:
            (staging / "1").mkdir()
            target = staging / "1" / "model.onnx"
            if isinstance(files.model, Path):
                _link(files.model, target)
            else:
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


@contextlib.contextmanager
def locked_directory(directory: Path) -> Iterator[None]:
    """Wait until no other thread or process is in this block for the same, existing directory.

    The directory itself is locked: a lock file, as ``filelock`` leaves one, would stay behind in
    model repositories and directories of the user's. The lock ends with the process and must not be
    nested.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replaced_directory(target: Path) -> Iterator[Path]:
    """Fill an empty directory beside ``target`` that takes its place when all went well."""
    staging = _part_directory(target)
    try:
        yield staging
        staging.chmod(0o755)
        while not _swap(staging, target):
            pass
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _swap(staging: Path, target: Path) -> bool:
    """Put ``staging`` in the place of ``target``, which may exist.

    False where another process was between the two steps first.
    """
    retired = _part_directory(target)
    with contextlib.suppress(FileNotFoundError):
        target.rename(retired)
    try:
        staging.rename(target)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        return False
    finally:
        shutil.rmtree(retired)
    return True


def _part_directory(target: Path) -> Path:
    """Make an empty hidden directory beside ``target`` and remove abandoned ones."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for part in target.parent.glob(f".*{_PART_SUFFIX}"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > _ABANDONED_AFTER_S:
                shutil.rmtree(part)
    return Path(tempfile.mkdtemp(prefix=f".{target.name}-", suffix=_PART_SUFFIX, dir=target.parent))


def digest_files(*paths: Path) -> str:
    """Return the SHA-256 over the contents of files, in the given order, as hexadecimal text."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
