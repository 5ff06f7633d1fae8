"""What ``predict`` accepts, turned into single images to send.

Two steps: `expand_inputs` flattens lists, iterators and directories lazily in the caller's
thread, reading no file; `load_source` then reads one of its items, in a worker thread. Only
the second one fails, so that an unreadable input fails at its own turn.
"""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tritonpose.errors import InputError
from tritonpose.sniff import describe_undecodable, is_server_format, is_tiff

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The suffixes PaddleX picks from a directory, less PDF: pages of documents show no people.
_IMAGE_NAME = re.compile(r".*\.(bmp|dib|jpe?g|png|webp|p[bgpn]m|sr|ras|tiff?)", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class ImageInput:
    """One image, ready to be sent.

    Attributes:
        input_path: The path it was read from; None for an array.
        source: The encoded file as bytes, or a decoded image, (H, W, 3) uint8, BGR.
        page_index: Its page, from 0, in a file that holds several images; else None.
    """

    input_path: str | None
    source: bytes | NDArray[np.uint8]
    page_index: int | None = None


def expand_inputs(inputs: object) -> Iterator[object]:
    """Flattens the argument of ``predict``.

    Args:
        inputs: An array, a path of an image or a directory, or a list, tuple or iterator of
            any of these. Iterators may be endless; they are read one item at a time.

    Yields:
        Items for `load_source`: file paths as ``str``; arrays, copied, so that the caller may
        reuse the buffer; whatever else was given, untouched. A directory yields the images in
        it and below, sorted by path, or itself if there are none.
    """
    if isinstance(inputs, np.ndarray):
        yield inputs.copy()
    elif isinstance(inputs, str | os.PathLike):
        path = os.fsdecode(inputs)
        yield from _images_in(path) or [path]
    elif (
        isinstance(inputs, Iterable)
        and not isinstance(inputs, bytes | bytearray | memoryview | Mapping)
        # Tensors of other libraries iterate over rows of pixels.
        and not hasattr(inputs, "__array__")
    ):
        for item in inputs:
            yield from expand_inputs(item)
    else:
        yield inputs


def load_source(source: object) -> list[ImageInput]:
    """Reads one item of `expand_inputs`.

    Returns:
        One image, or one per page of a TIFF file with several pages.

    Raises:
        InputError: It can't be read, is no image, or has the wrong type, shape or dtype.
    """
    if isinstance(source, np.ndarray):
        return [ImageInput(None, _checked_frame(source))]
    if isinstance(source, str):
        return _read_file(source)
    raise InputError(
        f"inputs of type {type(source).__name__} aren't supported: give a NumPy array, a path, "
        "or a list or iterator of these",
        source,
    )


def path_of(source: object) -> str | None:
    """The ``input_path`` that a result of this source bears."""
    return source if isinstance(source, str) else None


def decode_image(data: bytes, name: str, *, pages: bool = False) -> list[NDArray[np.uint8]]:
    """Decodes an image file as PaddleX reads it: three channels, EXIF orientation applied.

    Args:
        data: The content of the file.
        name: What to call it in the message.
        pages: Decode all images in the file, not only the first.

    Returns:
        Images of (H, W, 3) uint8, BGR; at least one.

    Raises:
        InputError: OpenCV can't decode it; the message says what it looks like instead.
    """
    import cv2

    images: list[object] = []
    if data:
        buffer = np.frombuffer(data, dtype=np.uint8)
        try:
            if pages:
                images = list(cv2.imdecodemulti(buffer, cv2.IMREAD_COLOR)[1])
            else:
                images = [cv2.imdecode(buffer, cv2.IMREAD_COLOR)]
        except cv2.error as error:
            # Raised for images beyond OpenCV's limits of size; broken files give None.
            raise InputError(f"{name!r} can't be decoded: {error}", name) from error
    decoded = [np.asarray(image, dtype=np.uint8) for image in images if image is not None]
    if not decoded:
        raise InputError(f"{name!r} {describe_undecodable(data)}", name)
    return decoded


def _images_in(directory: str) -> list[str]:
    """Lists the images in a directory and below; empty if it isn't a directory."""
    return sorted(
        os.path.join(folder, name)  # noqa: PTH118 (PaddleX's spelling: "./a" stays "./a")
        for folder, _, names in os.walk(directory)
        for name in names
        if _IMAGE_NAME.fullmatch(name)
    )


def _read_file(path: str) -> list[ImageInput]:
    """Reads an image file; raises InputError."""
    _reject_unsupported(path)
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"no such file or directory: {path!r} (in {Path.cwd()})", path) from None
    except IsADirectoryError:
        raise InputError(f"no images in the directory {path!r} or below", path) from None
    except OSError as error:
        raise InputError(f"can't read {path!r}: {error.strerror}", path) from error
    if is_server_format(data):
        return [ImageInput(path, data)]
    images = decode_image(data, path, pages=is_tiff(data))
    if len(images) == 1:
        return [ImageInput(path, images[0])]
    return [ImageInput(path, image, page) for page, image in enumerate(images)]


def _reject_unsupported(path: str) -> None:
    """Raises InputError for URLs and videos."""
    if re.match("https?://", path, re.IGNORECASE):
        raise InputError(f"{path!r}: URLs aren't supported yet; download the file first", path)
    if (mimetypes.guess_type(path)[0] or "").startswith("video/"):
        raise InputError(
            f"{path!r}: videos aren't supported yet; give the frames as arrays, "
            "from a generator over cv2.VideoCapture",
            path,
        )


def _checked_frame(frame: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Returns a BGR image as it is; raises InputError for any other array."""
    got = f"got an array of shape {frame.shape}, dtype {frame.dtype}"
    expected = "an image is (height, width, 3), uint8, BGR"
    if frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 1):
        hint = "; convert grey with cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)"
    elif frame.ndim == 3 and frame.shape[2] == 4:
        hint = "; convert with cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)"
    elif frame.ndim == 4:
        hint = "; give a batch as a list: list(images)"
    else:
        hint = ""
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or frame.size == 0:
        raise InputError(f"{got}: {expected}{hint}", frame)
    return frame.astype(np.uint8, copy=False)
