"""Where and how a result is written, under PaddleX's file names."""

from __future__ import annotations

import json
import mimetypes
import os
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

# Input suffixes that Pillow can write; an image of any other kind is saved as PNG.
_WRITABLE_SUFFIXES = frozenset(
    (".bmp", ".dib", ".jpeg", ".jpg", ".png", ".webp", ".pnm", ".ppm", ".tif", ".tiff")
)


def json_path(save_path: str | os.PathLike[str], name: PurePath) -> Path:
    """Where to write JSON: ``save_path`` itself if it is a .json file, else a file in it.

    Args:
        save_path: A file or a directory; neither needs to exist.
        name: Relative path that the result is named after.
    """
    path = Path(save_path)
    return path if path.suffix.lower() == ".json" else path / name.parent / f"{name.stem}_res.json"


def image_path(save_path: str | os.PathLike[str], name: PurePath) -> Path:
    """Where to write the image: ``save_path`` itself if it is an image file, else in it.

    Args:
        save_path: A file or a directory; neither needs to exist.
        name: Relative path that the result is named after. Its suffix is kept where Pillow can
            write such files.
    """
    path = Path(save_path)
    if path.suffix.lower() in _WRITABLE_SUFFIXES or _is_image_name(path):
        return path
    suffix = name.suffix if name.suffix.lower() in _WRITABLE_SUFFIXES else ".png"
    return path / name.parent / f"{name.stem}_res{suffix}"


def write_json(path: Path, content: Mapping[str, Any], *, indent: int, ensure_ascii: bool) -> None:
    """Writes JSON as UTF-8, making missing directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=indent, ensure_ascii=ensure_ascii)
    # Paths may hold bytes that are no UTF-8, as lone surrogates; what replaces them happens to
    # be JSON's own way to write these.
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


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
