"""Keeps what an engine has compiled, which takes longer than all else when models are loaded."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tritonpose.whole_files import open_plain, whole_file
from tritonpose_server.engines.engine import EngineConfig

DIRECTORY_VARIABLE = "TRITONPOSE_COMPILED"
"""Names the directory to the processes of an embedded server."""

_SUFFIX = ".compiled"
_DIGEST_BYTES = 32

# Of models that were replaced or removed, and of other versions of the engine.
_UNUSED_AFTER_S = 60 * 24 * 3600.0


class CompiledModels:
    """Compiled models in a directory that only this user can write. Safe for several processes."""

    def __init__(self, directory: Path) -> None:
        """Use a directory, which exists."""
        self._directory = directory

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> CompiledModels | None:
        """Use the directory that ``$TRITONPOSE_COMPILED`` names; None where it names none."""
        directory = environ.get(DIRECTORY_VARIABLE)
        return cls(Path(directory)) if directory else None

    def load(self, key: str) -> bytes | None:
        """Return what was kept under a key; None where there is nothing, or it is damaged."""
        path = self._path(key)
        try:
            # Another user's link or pipe may have its name.
            with open_plain(path) as file:
                # Engines run what they are given, and others may be able to write here.
                if os.fstat(file.fileno()).st_uid not in (_user_id(), 0):
                    return None
                content = file.read()
            # Marks it as used: `save` removes what was unused for long.
            os.utime(path)
        except OSError:
            return None
        digest, compiled = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        return compiled if hashlib.sha256(compiled).digest() == digest else None

    def save(self, key: str, compiled: bytes) -> None:
        """Keep something, if it can be written; remove what was not used for long."""
        with contextlib.suppress(OSError):
            # Whole, or not at all: other processes read meanwhile.
            with whole_file(self._path(key)) as file:
                file.write(hashlib.sha256(compiled).digest() + compiled)
            for path in self._directory.iterdir():
                if time.time() - path.stat().st_mtime > _UNUSED_AFTER_S:
                    path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._directory / f"{key}{_SUFFIX}"


def compiled_key(config: EngineConfig, *facts: str) -> str:
    """Make a key from all that a compiled model depends on.

    These are the model's files, its configuration, this processor, and ``facts`` of the engine,
    such as its version.
    """
    digest = hashlib.sha256()
    for part in (*_files(config.path), *facts, *_processor()):
        digest.update(hashlib.sha256(part if isinstance(part, bytes) else part.encode()).digest())
    tensors = (config.max_batch_size, config.inputs, config.outputs)
    digest.update(repr(tensors).encode())
    return digest.hexdigest()


def _user_id() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _files(model: Path) -> Iterator[str | bytes]:
    yield model.read_bytes()
    # Weights beside the graph may be large: their time of change stands for them.
    for path in sorted(model.parent.iterdir()):
        if path != model:
            status = path.stat()
            yield f"{path.name} {status.st_size} {status.st_mtime_ns}"


def _processor() -> Iterator[str]:
    """Describe the instructions that this processor has."""
    yield platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith(("flags", "Features")):
                yield line
                return
    yield platform.processor()
