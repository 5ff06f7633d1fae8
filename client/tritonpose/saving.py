"""Where and how a result is written, under PaddleX's file names."""

from __future__ import annotations

import json
import mimetypes
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

# Input suffixes that Pillow can write; an image of any other kind is saved as PNG.
_WRITABLE_SUFFIXES = frozenset(
    (".bmp", ".dib", ".jpeg", ".jpg", ".png", ".webp", ".pnm", ".ppm", ".tif", ".tiff")
)


def unnamed_stem() -> str:
    """Makes up a stem for a result without a path: seconds since 1970 and a random part.

    PaddleX's random part has four digits, so frames of one second overwrite each other.
    """
    return f"{int(time.time())}_{secrets.token_hex(4)}"


def json_path(save_path: str | os.PathLike[str], stem: str) -> Path:
    """Where to write JSON: ``save_path`` itself if it is a .json file, else a file in it."""
    path = Path(save_path)
    return path if path.suffix.lower() == ".json" else path / f"{stem}_res.json"


def image_path(save_path: str | os.PathLike[str], stem: str, suffix: str) -> Path:
    """Where to write the image: ``save_path`` itself if it is an image file, else in it.

    Args:
        save_path: A file or a directory; neither needs to exist.
        stem: Stem of the input's file name.
        suffix: Suffix of the input's file name, with its dot; may be empty.
    """
    path = Path(save_path)
    if path.suffix.lower() in _WRITABLE_SUFFIXES or _is_image_name(path):
        return path
    return path / f"{stem}_res{suffix if suffix.lower() in _WRITABLE_SUFFIXES else '.png'}"


def write_json(path: Path, content: Mapping[str, Any], *, indent: int, ensure_ascii: bool) -> None:
    """Writes JSON as UTF-8, making missing directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=indent, ensure_ascii=ensure_ascii), encoding="utf-8")


def write_image(path: Path, image: Image) -> None:
    """Writes an image with Pillow's defaults (JPEG quality 75), making missing directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def to_jsonable(value: Any) -> Any:
    """Turns NumPy arrays and scalars within dicts and lists into plain lists and numbers."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: to_jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_jsonable(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value


def _is_image_name(path: Path) -> bool:
    return (mimetypes.guess_type(path.name)[0] or "").startswith("image/")
