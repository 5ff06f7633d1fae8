"""Read one input: the images in it, each to be sent as it is or decoded first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tritonpose.errors import InputError
from tritonpose.file_types import is_url, is_video_format
from tritonpose.inputs.addresses import masked
from tritonpose.inputs.arrays import checked_frame
from tritonpose.inputs.decoding import sources_in
from tritonpose.inputs.files import read_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tritonpose_pipeline.pages import EncodedPage


# Small files may hold large pages: of these, one at a time is decoded and sent.
_LARGE_PIXELS = 2**23


@dataclass(frozen=True)
class FileInput:
    """A file, not read yet; `saved_as` is that of `ImageInput`.

    `path` is "" for one in memory. `problem` says why it can't be read, where that is known
    already; `read` gives its content, or raises InputError; None for a file or an http(s) URL.
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
        source: The encoded file as bytes, a page of one that the server doesn't decode, or a
            decoded image, (H, W, 3) uint8, BGR.
        page_index: Its page, from 0, in a file that holds several images; else None.
        frame_index: Its number, from 0, among the frames of a video; else None.
        frame_time: Seconds from the video's first frame to this one; None for other images.
        saved_as: Relative path that the names of saved files derive from; None for the last
            part of `input_path`.
    """

    input_path: str | None
    source: bytes | EncodedPage | NDArray[np.uint8]
    page_index: int | None = None
    frame_index: int | None = None
    frame_time: float | None = None
    saved_as: str | None = None

    @property
    def is_large(self) -> bool:
        """Whether it takes much memory once it is decoded here."""
        source = self.source
        return not isinstance(source, bytes | np.ndarray) and source.header.pixels > _LARGE_PIXELS

    @property
    def is_page(self) -> bool:
        """Whether the image must be decoded here before it is sent."""
        return not isinstance(self.source, bytes | np.ndarray)


def load_source(source: object) -> list[ImageInput]:
    """Read one item of `expand_inputs`: one image, or one per page of a TIFF file.

    InputError: it can't be read or fetched, isn't an image, or has the wrong type, shape or dtype.
    """
    if isinstance(source, ImageInput):
        return [source]
    if isinstance(source, np.ndarray):
        return [ImageInput(None, checked_frame(source))]
    if isinstance(source, str):
        source = FileInput(source)
    if isinstance(source, FileInput):
        if source.problem is not None:
            raise InputError(source.problem, source.path)
        data = read_file(source.path) if source.read is None else source.read()
        return _images_in(data, source)
    kind = type(source).__name__
    if hasattr(source, "__array__"):
        raise InputError(
            f"inputs of type {kind} aren't supported: convert it to a NumPy array, (height, width, "
            "3), uint8, BGR",
            source,
        )
    raise InputError(
        f"inputs of type {kind} aren't supported: give a path, a URL, a NumPy array, a Pillow "
        "image, the bytes of a file, a file open in mode 'rb', or a list or iterator of these",
        source,
    )


def path_of(source: object) -> str | None:
    """Return the ``input_path`` of results of this source."""
    if isinstance(source, FileInput):
        return source.path or None
    if isinstance(source, ImageInput):
        return source.input_path
    return source if isinstance(source, str) else None


def _images_in(data: bytes, file: FileInput) -> list[ImageInput]:
    """Find the images in a file; raise InputError."""
    if is_video_format(data):
        name = repr(masked(file.path)) if file.path else "the file"
        advice = "download it first" if is_url(file.path) else "give it a video's suffix: .mp4"
        raise InputError(f"{name} looks like a video; {advice}", file.path)
    path = path_of(file)
    sources = sources_in(data, path)
    return [
        ImageInput(path, source, page if len(sources) > 1 else None, saved_as=file.saved_as)
        for page, source in enumerate(sources)
    ]
