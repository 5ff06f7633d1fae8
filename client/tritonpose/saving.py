"""Write results to files, under PaddleX's names, and under more where those would clash."""

from __future__ import annotations

import json
import mimetypes
import os
import re
import secrets
import time
import unicodedata
from collections.abc import Mapping
from io import BytesIO
from itertools import count
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

import numpy as np

from tritonpose.errors import ConfigError
from tritonpose.file_types import has_video_name, is_url
from tritonpose.whole_files import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image

# Input suffixes that Pillow can write; an image of any other kind is saved as PNG.
_WRITABLE_SUFFIXES = frozenset(
    (".bmp", ".dib", ".jpeg", ".jpg", ".png", ".webp", ".pnm", ".ppm", ".tif", ".tiff")
)

# Characters that file names can't hold on one system or another.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
# Lone surrogates that stand for no byte.
_NO_BYTES = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_MAX_STEM_BYTES = 150
# File systems take names of 255 bytes; "_frame000000_res.jpg" and more is added.
_MAX_LOCAL_STEM_BYTES = 210

# As Python knows them, not this machine, on which ".1" may be a manual.
_TYPES = mimetypes.MimeTypes()
_OTHER_FILES = frozenset(
    (".csv", ".gz", ".json", ".jsonl", ".npy", ".npz", ".parquet", ".pdf", ".yaml", ".yml", ".zip")
)

_OTHER_KINDS = ("audio", "image", "text", "video")

_FRAME = re.compile(r"(.*)_frame\d{6,}", re.DOTALL)


class TakenNames:
    """The names of the files of one run, so that none of its results overwrites another.

    They are compared as file systems do that ignore case and how letters are composed, and before
    the suffixes, as each result has a .json.
    """

    def __init__(self) -> None:
        # Hashes, as runs may be long; two that are equal by chance cost a number in a name.
        self._stills: set[int] = set()
        self._videos: set[int] = set()
        self._framed: set[int] = set()
        # Of the video whose frames come now, of each source: its name, the name it got, the last
        # frame.
        self._frames: dict[int, tuple[PurePath, PurePath, int]] = {}

    def claim(
        self, name: PurePath, page_index: int | None, frame_index: int | None, source: int = 0
    ) -> PurePath:
        """Choose the name of a result of ``name``: with its numbers, and one more if it is taken.

        The frames of a video share a name, if they are claimed in order and without those of
        another video of the same source between.
        """
        if frame_index is None:
            return self._free(numbered(name, page_index, None), self._take_still)
        known, got, last = self._frames.get(source, (None, name, -1))
        if known != name or last >= frame_index:
            got = self._free(name, self._take_video)
        self._frames[source] = (name, got, frame_index)
        return numbered(got, page_index, frame_index)

    def _free(self, name: PurePath, take: Callable[[str], bool]) -> PurePath:
        for number in count(1):
            candidate = name if number == 1 else name.with_stem(f"{name.stem}_{number}")
            path = f"{candidate.parent}/{candidate.stem}"
            key = unicodedata.normalize("NFD", path).casefold()
            if take(unicodedata.normalize("NFC", key)):
                return candidate
        raise AssertionError

    def _take_still(self, key: str) -> bool:
        framed = _FRAME.fullmatch(key)
        if hash(key) in self._stills or (framed and hash(framed[1]) in self._videos):
            return False
        self._stills.add(hash(key))
        if framed:
            self._framed.add(hash(framed[1]))
        return True

    def _take_video(self, key: str) -> bool:
        if hash(key) in self._videos or hash(key) in self._framed:
            return False
        self._videos.add(hash(key))
        return True


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
        return PurePath(PurePath(input_path).name or "image")
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


def fitting(name: PurePath) -> PurePath:
    """Cut a name that leaves no room for what is added, and dots that would hide what is added.

    What no file's name can hold becomes ``_``.
    """
    encoded = os.fsencode(_NO_BYTES.sub("_", name.stem))
    stem = os.fsdecode(encoded[:_MAX_LOCAL_STEM_BYTES]).rstrip(". ") or "image"
    return name.with_name(stem + name.suffix[:_MAX_STEM_BYTES])


def json_path(save_path: str | os.PathLike[str], name: PurePath) -> Path:
    """Choose where to write JSON: ``save_path`` if it is a .json file, or a file in a directory.

    The result is named after the relative path ``name``. Nothing needs to exist.
    """
    path = _as_file(save_path)
    if path is None:
        return Path(save_path) / name.parent / f"{name.stem}_res.json"
    if path.suffix.lower() != ".json":
        raise ConfigError(f"{str(path)!r} isn't a name for JSON: give a directory or a .json file")
    return path


def image_path(save_path: str | os.PathLike[str], name: PurePath) -> Path:
    """Choose where to write the image: ``save_path`` if it is an image file, or in a directory.

    As `json_path`; the suffix of ``name`` is kept where Pillow can write such files.
    """
    path = _as_file(save_path)
    if path is not None:
        if path.suffix.lower() == ".json":
            raise ConfigError(
                f"{str(path)!r} isn't a name for a picture: give a directory or a file that ends "
                "in .jpg, .png or alike"
            )
        return path
    suffix = name.suffix if name.suffix.lower() in _WRITABLE_SUFFIXES else ".png"
    return Path(save_path) / name.parent / f"{name.stem}_res{suffix}"


def _pillow_writes(suffix: str) -> bool:
    from PIL import Image as Pillow

    return Pillow.registered_extensions().get(suffix) in Pillow.SAVE


def saved_kind(save_path: str | os.PathLike[str]) -> Literal["json", "picture", "directory"]:
    """Tell what a path to save to means, by its suffix; ConfigError for files of another kind."""
    path = _as_file(save_path)
    if path is None:
        return "directory"
    return "json" if path.suffix.lower() == ".json" else "picture"


def _as_file(save_path: str | os.PathLike[str]) -> Path | None:
    """Return the file that a path means, .json or a picture; None where it means a directory."""
    path = Path(save_path)
    suffix = file_suffix(save_path)
    if suffix is None or suffix == ".json" or suffix in _WRITABLE_SUFFIXES:
        return None if suffix is None else path
    if _kind_of(path) == "image" and _pillow_writes(suffix):
        return path
    raise ConfigError(
        f"can't save to {str(path)!r}: a result is saved as .json or as a picture, such as "
        f".jpg or .png, or in a directory (as which {path.name + '/'!r} would be taken)"
        + ("; `tritonpose track` writes videos" if has_video_name(path.name) else "")
    )


def file_suffix(save_path: str | os.PathLike[str]) -> str | None:
    """Return the suffix, in lower case, of a path that means a file; None for a directory.

    ConfigError: the path is empty.
    """
    path = Path(save_path)
    suffix = path.suffix.lower()
    if not os.fspath(save_path):
        raise ConfigError("the path to save to is empty; '.' is the current directory")
    if not suffix or os.fspath(save_path).endswith(("/", os.sep)) or path.is_dir():
        return None
    known = suffix in _WRITABLE_SUFFIXES or suffix in _OTHER_FILES or has_video_name(path.name)
    return suffix if known or _kind_of(path) in _OTHER_KINDS else None


def _kind_of(path: Path) -> str:
    """Return the first half of a file's media type, by its suffix; "" if that is unknown."""
    return (_TYPES.guess_type(path.name)[0] or "").partition("/")[0]


def write_json(path: Path, content: Mapping[str, Any], *, indent: int, ensure_ascii: bool) -> None:
    """Write JSON as UTF-8, whole or not at all, making missing directories."""
    text = json.dumps(content, indent=indent, ensure_ascii=ensure_ascii)
    # Paths may hold bytes that aren't UTF-8, as lone surrogates; "backslashreplace" writes these
    # just as JSON does.
    data = text.encode(errors="backslashreplace")
    with whole_file(path) as file:
        file.write(data)


def write_image(path: Path, image: Image) -> None:
    """Write an image with Pillow's defaults (JPEG quality 75), as `write_json`.

    ValueError: Pillow can't write such a file.
    """
    from PIL import Image as Pillow

    kind = Pillow.registered_extensions().get(path.suffix.lower())
    # Not into the file: on a full disk Pillow writes a part of it and raises nothing.
    with BytesIO() as data:
        image.save(data, kind)
        content = data.getvalue()
    with whole_file(path) as file:
        file.write(content)


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
