"""Reading one item of `expand_inputs`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tritonpose.errors import InputError
from tritonpose.file_types import is_server_format, is_tiff, is_video_format
from tritonpose.inputs.images import FileInput, ImageInput, decode_image
from tritonpose.inputs.kinds import is_url

if TYPE_CHECKING:
    from numpy.typing import NDArray


def load_source(source: object) -> list[ImageInput]:
    """Reads one item of `expand_inputs`.

    Returns:
        One image, or one per page of a TIFF file with several pages.

    Raises:
        InputError: It can't be read or fetched, is no image, or has the wrong type, shape or
            dtype.
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
    """The ``input_path`` that a result of this source bears."""
    if isinstance(source, FileInput):
        return source.path
    if isinstance(source, ImageInput):
        return source.input_path
    return source if isinstance(source, str) else None


def _read(path: str) -> bytes:
    """Reads a file or fetches a URL; raises InputError."""
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
        raise InputError(f"{path!r} is no path: {error}", path) from error


def _images_in(data: bytes, file: FileInput) -> list[ImageInput]:
    """Leaves to the server what it decodes itself, and decodes the rest; raises InputError."""
    if is_server_format(data):
        return [ImageInput(file.path, data, saved_as=file.saved_as)]
    if is_video_format(data):
        advice = "download it first" if is_url(file.path) else "give it a video's suffix: .mp4"
        raise InputError(f"{file.path!r} looks like a video; {advice}", file.path)
    images = decode_image(data, file.path, pages=is_tiff(data))
    if len(images) == 1:
        return [ImageInput(file.path, images[0], saved_as=file.saved_as)]
    return [
        ImageInput(file.path, image, page_index=page, saved_as=file.saved_as)
        for page, image in enumerate(images)
    ]


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
