"""Find the images and videos in a directory and below, and count what is passed over."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tritonpose.file_types import has_image_name, is_found
from tritonpose.inputs.files import MAX_BYTES

HIDDEN = "files that macOS keeps beside others (._x.jpg)"
OTHER = "files of other kinds"


@dataclass
class Folder:
    """What was found, in no order, and how many of which kind were passed over."""

    files: list[str] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)

    def lost(self) -> str:
        """Say what was passed over that may hold images, as a phrase; "" where nothing was."""
        return describe({k: n for k, n in self.passed_over.items() if k not in (HIDDEN, OTHER)})


def describe(passed_over: Mapping[str, int]) -> str:
    """Write counts as a phrase: ``links to directories: 2, ...``."""
    return ", ".join(f"{kind}: {count}" for kind, count in sorted(passed_over.items()))


def search_folder(directory: str) -> Folder:
    """Search a directory and below, but no links to directories, which may lead in circles."""
    found = Folder()

    def unreadable(_: OSError) -> None:
        found.passed_over["directories that can't be read"] += 1

    for folder, below, names in os.walk(directory, onerror=unreadable):
        for name in below:
            if os.path.islink(os.path.join(folder, name)):  # noqa: PTH114, PTH118 (as below)
                found.passed_over["links to directories"] += 1
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118 (PaddleX's spelling: "./a" stays)
            kind = _kind_passed_over(path, name)
            if kind is None:
                found.files.append(path)
            else:
                found.passed_over[kind] += 1
    return found


def _kind_passed_over(path: str, name: str) -> str | None:
    """Tell why a file found isn't read; None for one that is, or that can't be looked at."""
    if name.startswith("._"):
        return HIDDEN
    try:
        status = Path(path).stat()
    except OSError:
        return None if is_found(path) else OTHER
    if not stat.S_ISREG(status.st_mode):
        return "pipes and devices"
    if not is_found(path):
        return OTHER
    if has_image_name(name) and status.st_size > MAX_BYTES:
        return f"images of more than {MAX_BYTES >> 20} MiB"
    return None
