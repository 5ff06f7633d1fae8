"""Write results to files, under PaddleX's names, and under more where those would clash."""

from __future__ import annotations

import json
import mimetypes
import os
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np

from tritonpose.file_types import is_url

if TYPE_CHECKING:
    from PIL.Image import Image

# Input suffixes that Pillow can write; an image of any other kind is saved as PNG.
_WRITABLE_SUFFIXES = frozenset(
    (".bmp", ".dib", ".jpeg", ".jpg", ".png", ".webp", ".pnm", ".ppm", ".tif", ".tiff")
)

# Characters that file names can't hold on one system or another.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
_MAX_STEM_BYTES = 150


def unnamed_stem() -> str:
    """Make up a stem for a result without a path: seconds since 1970 and a random part.

    PaddleX's random part has four digits, so frames of one second overwrite each other.
    """
    return f"{int(time.time())}_{secrets.token_hex(4)}"


def last_part(input_path: str) -> PurePath:
    """Return the file name in a path or a URL.

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
    """Add the number of a page, as PaddleX does, or of a video's frame, which is a JPEG."""
    if frame_index is not None:
        return name.with_name(f"{name.stem}_frame{frame_index:06d}.jpg")
    return name if page_index is None else name.with_stem(f"{name.stem}_{page_index}")


def json_path(save_path: str | os.PathLike[str], name: PurePath) -> Path:
    """Choose where to write JSON: ``save_path`` if it is a .json file, else a file in it.

    The result is named after the relative path ``name``. Nothing needs to exist.
    """
    path = Path(save_path)
    return path if path.suffix.lower() == ".json" else path / name.parent / f"{name.stem}_res.json"


def image_path(save_path: str | os.PathLike[str], name: PurePath) -> Path:
    """Choose where to write the image: ``save_path`` if it is an image file, else in it.

    As `json_path`; the suffix of ``name`` is kept where Pillow can write such files.
    """
    path = Path(save_path)
    kind = mimetypes.guess_type(path.name)[0] or ""
    if path.suffix.lower() in _WRITABLE_SUFFIXES or kind.startswith("image/"):
        return path
    suffix = name.suffix if name.suffix.lower() in _WRITABLE_SUFFIXES else ".png"
    return path / name.parent / f"{name.stem}_res{suffix}"


def write_json(path: Path, content: Mapping[str, Any], *, indent: int, ensure_ascii: bool) -> None:
    """Write JSON as UTF-8, making missing directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=indent, ensure_ascii=ensure_ascii)
    # Paths may hold bytes that aren't UTF-8, as lone surrogates; "backslashreplace" writes these
    # just as JSON does.
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_image(path: Path, image: Image) -> None:
    """Write an image with Pillow's defaults (JPEG quality 75), making missing directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def as_text(path: str) -> str:
    r"""Write bytes of a file's name that are no UTF-8 as ``\xd0``, for files of Unicode alone.

    Python has such bytes as lone surrogates, which JSON can hold, but neither Parquet nor pandas.
    """
    bytes_shown = re.sub("[\udc80-\udcff]", lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", path)
    return bytes_shown.encode("utf-8", "backslashreplace").decode("utf-8")


def to_jsonable(value: Any) -> Any:
    """Turn NumPy arrays and scalars within dicts and lists into plain lists and numbers."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: to_jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_jsonable(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value
