"""Read one input: the images in it, decoded where the server can't do so itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tritonpose.errors import InputError
from tritonpose.file_types import (
    describe_undecodable,
    is_server_format,
    is_tiff,
    is_url,
    is_video_format,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@dataclass(frozen=True)
class FileInput:
    """A file that was found rather than given, not read yet; `saved_as` is that of `ImageInput`.

    `problem` says why it can't be read, where that is known already; `read` gives its content, or
    raises InputError; None for a file or an http(s) URL.
    """

    path: str
    saved_as: str | None = None
    problem: str | None = None
    read: Callable[[], bytes] | None = None


@dataclass(frozen=True, eq=False)
class ImageInput:
    """One image, ready to be sent.

    Attributes:
        input_path: The path or URL it was read from; None for an array.
        source: The encoded file as bytes, or a decoded image, (H, W, 3) uint8, BGR.
        page_index: Its page, from 0, in a file that holds several images; else None.
        frame_index: Its number, from 0, among the frames of a video; else None.
        saved_as: Relative path that the names of saved files derive from; None for the last
            part of `input_path`.
    """

    input_path: str | None
    source: bytes | NDArray[np.uint8]
    page_index: int | None = None
    frame_index: int | None = None
    saved_as: str | None = None


def load_source(source: object) -> list[ImageInput]:
    """Read one item of `expand_inputs`: one image, or one per page of a TIFF file.

    InputError: it can't be read or fetched, isn't an image, or has the wrong type, shape or dtype.
    """
    if isinstance(source, ImageInput):
        return [source]
    if isinstance(source, np.ndarray):
        return [ImageInput(None, _checked_frame(source))]
    if isinstance(source, str):
        source = FileInput(source)
    if isinstance(source, FileInput):
        if source.problem is not None:
            raise InputError(source.problem, source.path)
        data = _read(source.path) if source.read is None else source.read()
        return _images_in(data, source)
    raise InputError(
        f"inputs of type {type(source).__name__} aren't supported: give a NumPy array, a path, "
        "a URL, or a list or iterator of these",
        source,
    )


def path_of(source: object) -> str | None:
    """Return the ``input_path`` of results of this source."""
    if isinstance(source, FileInput):
        return source.path
    if isinstance(source, ImageInput):
        return source.input_path
    return source if isinstance(source, str) else None


def _read(path: str) -> bytes:
    """Read a file or fetch a URL; raise InputError."""
    if is_url(path):
        # Only now, as HTTP and TLS take longer to import than all of the client.
        from tritonpose.inputs.urls import fetch

        return fetch(path)
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"no such file or directory: {path!r} (in {Path.cwd()})", path) from None
    except IsADirectoryError:
        raise InputError(f"no images in the directory {path!r} or below", path) from None
    except OSError as error:
        raise InputError(f"can't read {path!r}: {error.strerror}", path) from error
    except ValueError as error:
        raise InputError(f"{path!r} isn't a valid path: {error}", path) from error


def _images_in(data: bytes, file: FileInput) -> list[ImageInput]:
    """Leave to the server what it decodes itself, and decode the rest; raise InputError."""
    if is_server_format(data):
        return [ImageInput(file.path, data, saved_as=file.saved_as)]
    if is_video_format(data):
        advice = "download it first" if is_url(file.path) else "give it a video's suffix: .mp4"
        raise InputError(f"{file.path!r} looks like a video; {advice}", file.path)
    images = decode_image(data, file.path, pages=is_tiff(data))
    return [
        ImageInput(file.path, image, page if len(images) > 1 else None, saved_as=file.saved_as)
        for page, image in enumerate(images)
    ]


def _checked_frame(frame: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return a BGR image as it is; raise InputError for any other array."""
    got = f"got an array of shape {frame.shape}, dtype {frame.dtype}"
    expected = "an image is (height, width, 3), uint8, BGR"
    if frame.ndim == 3 and frame.shape[2] == 3 and frame.dtype == np.uint8 and frame.size:
        return frame.astype(np.uint8, copy=False)
    hint = ""
    if frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 1):
        hint = "; convert gray with cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)"
    elif frame.ndim == 3 and frame.shape[2] == 4:
        hint = "; convert with cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)"
    elif frame.ndim == 4:
        hint = "; give a batch as a list: list(images)"
    raise InputError(f"{got}: {expected}{hint}", frame)


def decode_image(data: bytes, name: str, *, pages: bool = False) -> list[NDArray[np.uint8]]:
    """Decode an image file as PaddleX reads it: three channels, EXIF orientation applied.

    Returns images of (H, W, 3) uint8, BGR: the first in the file, or with ``pages`` all.
    InputError, which calls the file ``name``, says what it looks like where OpenCV can't decode it.
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
