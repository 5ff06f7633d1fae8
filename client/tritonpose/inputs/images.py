"""Images on their way to the server, and decoding those that it can't decode itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tritonpose.errors import InputError
from tritonpose.file_types import describe_undecodable

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@dataclass(frozen=True)
class FileInput:
    """A file that was found rather than given, not read yet.

    Attributes:
        path: Its path.
        saved_as: See `ImageInput`.
        problem: Why it can't be read, where that is known already.
        read: Gives its content, or raises InputError; None for a file or an http(s) URL.
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
