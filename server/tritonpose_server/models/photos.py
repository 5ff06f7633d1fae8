"""Photos that a command works with, chosen among what the user names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tritonpose.file_types import is_video
from tritonpose.inputs import load_source
from tritonpose.inputs.expansion import files_in
from tritonpose_server.errors import EmbeddedServerError


@dataclass(frozen=True, eq=False)
class Photo:
    """An image.

    Attributes:
        source: What is sent to a server: an encoded file, or a decoded image as ``pixels``.
        pixels: uint8 ``[h, w, 3]`` BGR.
    """

    source: bytes | npt.NDArray[np.uint8]
    pixels: npt.NDArray[np.uint8]


def choose_photos(places: Sequence[Path], most: int, purpose: str) -> list[str]:
    """The image files in places, in the order given, those of a directory sorted.

    Args:
        places: Image files, and directories that are searched for them.
        most: From more files than this, so many at most are taken evenly.
        purpose: What they are for, for the error.

    Raises:
        EmbeddedServerError: There is none.
    """
    files: list[str] = []
    for path in map(str, places):
        found = [file.path for file in files_in(path) if not is_video(file.path)]
        files += found or [path]
    if not files:
        raise EmbeddedServerError(f"{purpose} needs images: name files or directories")
    return files[:: -(-len(files) // most)]


def read_photo(file: str) -> Photo:
    """Read an image, and decode it as the pipeline does; of a file with several pages, its first.

    Raises:
        InputError: The file can't be read or is no image.
        EmbeddedServerError: It can't be decoded.
    """
    from tritonpose_pipeline.errors import BadRequestError
    from tritonpose_pipeline.image import check_file, decode_image

    source = load_source(file)[0].source
    try:
        pixels = decode_image(check_file(source)) if isinstance(source, bytes) else source
        return Photo(source, pixels)
    except BadRequestError as error:
        raise EmbeddedServerError(f"{file}: {error}") from error
