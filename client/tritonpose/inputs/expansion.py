"""Flatten the argument of ``predict``, one image or frame at a time."""

from __future__ import annotations

import io
import logging
import os
import stat
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from tritonpose.errors import InputError
from tritonpose.file_types import has_image_name, is_url, is_video
from tritonpose.inputs.addresses import local_path, unread_address
from tritonpose.inputs.arrays import frame_of, is_pillow
from tritonpose.inputs.folders import search_folder
from tritonpose.inputs.frames import read_frames
from tritonpose.inputs.images import FileInput, ImageInput
from tritonpose.inputs.streams import read_open_file, read_special

if TYPE_CHECKING:
    from PIL.Image import Image

LOGGER = logging.getLogger("tritonpose")


def expand_inputs(inputs: object) -> Generator[object, None, None]:
    """Flatten the argument of ``predict``: inputs, lists, tuples and iterators of them.

    Iterators may be endless; they are read one item at a time, and videos one frame at a time.

    Yields items for `load_source`: paths and URLs as ``str``; arrays, copied, so that the caller
    may reuse the buffer, as are bytes; open files and Pillow images, read here for the same reason;
    the frames of a video; the images and the frames of the videos in a directory and below, sorted
    by path, or its own path if there are none; whatever else was given, untouched. None of them
    makes this raise: bad ones fail in `load_source`.
    """
    if isinstance(inputs, FileInput | ImageInput):
        yield inputs
    elif isinstance(inputs, str | os.PathLike):
        yield from _expand_path(inputs)
    elif isinstance(inputs, np.ndarray):
        if inputs.dtype.kind in "OU":
            yield from expand_inputs(inputs.tolist())
        else:
            yield inputs.copy()
    elif isinstance(inputs, bytes | bytearray | memoryview):
        yield from read_open_file(io.BytesIO(inputs), "")
    elif is_pillow(inputs):
        yield _frame_of_pillow(inputs)
    elif hasattr(inputs, "read"):
        name = getattr(inputs, "name", None)
        yield from read_open_file(inputs, name if isinstance(name, str) else "")
    elif (
        isinstance(inputs, Iterable)
        and not isinstance(inputs, Mapping)
        # Tensors of other libraries iterate over rows of pixels, columns of tables over paths.
        and (not hasattr(inputs, "__array__") or len(getattr(inputs, "shape", ())) == 1)
    ):
        for item in inputs:
            yield from expand_inputs(item)
    else:
        yield inputs


def files_in(directory: str) -> list[FileInput]:
    """List the images and videos in a directory and below, sorted by path.

    Empty if it isn't a directory. The suffix tells which file is an image or a video.
    """
    if not os.path.isdir(directory):  # noqa: PTH112 (Path's raises where it may not look)
        return []
    searched = search_folder(directory)
    if lost := searched.lost():
        LOGGER.warning("%r: passed over: %s", directory, lost)
    found = searched.files
    # Files that differ in their suffix alone, such as x.jpg and x.png, would overwrite each
    # other's x_res.json. Videos need no such care among images: "_frame" keeps them apart.
    rivals = Counter(_rival_key(path) for path in found)
    root = os.path.join(directory, "")  # noqa: PTH118 (adds the "/", unless there is one)
    files = []
    for path in sorted(found):
        name = PurePath(path.removeprefix(root))
        if rivals[_rival_key(path)] > 1:
            name = name.with_name(name.name + name.suffix)
        files.append(FileInput(path, saved_as=str(name)))
    return files


def _expand_path(given: str | os.PathLike[str]) -> Iterator[object]:
    try:
        address = os.fsdecode(given)
    except Exception as error:
        # Of any class: objects of stores call themselves paths, and aren't.
        problem = f"a {type(given).__name__} is no path here: {error}; open it in mode 'rb'"
        yield FileInput("", problem=problem)
        return
    unread = unread_address(path := local_path(address))
    if unread is not None:
        yield FileInput(address, problem=unread)
        return
    try:
        mode = None if is_url(path) else os.stat(path).st_mode  # noqa: PTH116 (as Path's, of any str)
    except (OSError, ValueError):
        mode = None
    if mode is None or (stat.S_ISREG(mode) and not is_video(path)):
        yield path
    elif stat.S_ISREG(mode):
        yield from read_frames(FileInput(path))
    elif stat.S_ISDIR(mode):
        files = files_in(path)
        for file in files:
            yield from read_frames(file) if is_video(file.path) else [file]
        if not files:
            yield path
    else:
        yield from read_special(path, mode)


def _frame_of_pillow(image: Image) -> ImageInput | FileInput:
    path = getattr(image, "filename", "")
    path = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
    try:
        return ImageInput(path or None, frame_of(image))
    except InputError as error:
        return FileInput(path, problem=str(error))


def _rival_key(path: str) -> tuple[PurePath, bool]:
    """Return what files that would be saved under one name have in common."""
    return PurePath(path).with_suffix(""), has_image_name(path)
