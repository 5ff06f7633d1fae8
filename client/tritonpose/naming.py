"""What saved files are named after: PaddleX's names, and more where those would clash."""

from __future__ import annotations

import re
import secrets
import time
from pathlib import PurePath
from urllib.parse import unquote

from tritonpose.inputs.kinds import is_url

# Characters that file names can't hold on one system or another.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
_MAX_STEM_BYTES = 150


def unnamed_stem() -> str:
    """Makes up a stem for a result without a path: seconds since 1970 and a random part.

    PaddleX's random part has four digits, so frames of one second overwrite each other.
    """
    return f"{int(time.time())}_{secrets.token_hex(4)}"


def last_part(input_path: str) -> PurePath:
    """The file name in a path or a URL.

    A URL's is decoded, made safe for any file system, and has no query; a URL without a path
    gives its host.
    """
    if not is_url(input_path):
        return PurePath(PurePath(input_path).name)
    location = re.split("[?#]", input_path.partition("://")[2], maxsplit=1)[0]
    segment = unquote(location.rstrip("/").rpartition("/")[2].rpartition("@")[2])
    name = PurePath(_UNSAFE.sub("_", segment).strip(". ") or "image")
    stem = name.stem.encode(errors="replace")[:_MAX_STEM_BYTES].decode(errors="ignore")
    return PurePath(stem + name.suffix[:_MAX_STEM_BYTES])


def numbered(name: PurePath, page_index: int | None, frame_index: int | None) -> PurePath:
    """Adds the number of a page, as PaddleX does, or of a video's frame, which is a JPEG."""
    if frame_index is not None:
        return name.with_name(f"{name.stem}_frame{frame_index:06d}.jpg")
    return name if page_index is None else name.with_stem(f"{name.stem}_{page_index}")
