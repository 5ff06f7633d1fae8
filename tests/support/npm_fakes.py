"""Tarballs and a stand-in for npm, for tests."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def entry(name: str, **attributes: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


def write_tarball(path: Path, contents: Sequence[tuple[tarfile.TarInfo | str, bytes]]) -> Path:
    """A gzipped tar file of regular files by name, or of whatever the entries say they are."""
    with tarfile.open(path, "w:gz") as archive:
        for item, data in contents:
            info = entry(item) if isinstance(item, str) else item
            if info.isreg():
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def install_npm(directory: Path, pack: str, global_config: str = "/nowhere/npmrc") -> None:
    """Write an executable ``npm`` into a directory.

    Args:
        directory: Where to.
        pack: Python statements that stand for ``npm pack``; the script has imported what they
            need.
        global_config: What it says its global configuration is.
    """
    directory.mkdir()
    script = directory / "npm"
    script.write_text(
        f"#!{sys.executable}\n"
        "import os, shutil, subprocess, sys, time\n"
        "from pathlib import Path\n"
        'if sys.argv[1:] == ["config", "get", "globalconfig"]:\n'
        f"    print({global_config!r})\n"
        "    sys.exit(0)\n"
        f"{pack}\n"
    )
    script.chmod(0o755)
