"""Flatten the argument of ``predict``, one image or frame at a time."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath

import numpy as np

from tritonpose.file_types import has_image_name, has_video_name, is_url, is_video
from tritonpose.inputs.images import FileInput, ImageInput

LOGGER = logging.getLogger("tritonpose")


def expand_inputs(inputs: object) -> Iterator[object]:
    """Flatten the argument of ``predict``: inputs, lists, tuples and iterators of them.

    Iterators may be endless; they are read one item at a time, and videos one frame at a time.

    Yields items for `load_source`: paths and URLs as ``str``; arrays, copied, so that the caller
    may reuse the buffer; the frames of a video; the images and the frames of the videos in a
    directory and below, sorted by path, or its own path if there are none; whatever else was given,
    untouched. None of them makes this raise: bad ones fail in `load_source`.
    """
    if isinstance(inputs, np.ndarray):
        yield inputs.copy()
    elif isinstance(inputs, str | os.PathLike):
        yield from _expand_path(os.fsdecode(inputs))
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


def files_in(directory: str) -> list[FileInput]:
    """List the images and videos in a directory and below, sorted by path.

    Empty if it isn't a directory. The suffix tells which file is an image or a video.
    """
    if not os.path.isdir(directory):  # noqa: PTH112 (Path's raises where it may not look)
        return []
    found = [
        os.path.join(folder, name)  # noqa: PTH118 (PaddleX's spelling: "./a" stays "./a")
        for folder, _, names in os.walk(directory)
        for name in names
        if has_image_name(name) or has_video_name(name)
    ]
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


def read_frames(video: FileInput) -> Iterator[ImageInput | FileInput]:
    """Read a video's frames in order, as decoded images, with its rotation applied.

    OpenCV reports the end of a truncated video like that of a whole one. So the log (at level INFO)
    says how many frames were read. If the video can't be opened or has no frames, yields the file
    with its problem. The file is open until the last frame was taken or this is closed.
    """
    import cv2

    count = 0
    capture = cv2.VideoCapture(video.path)
    try:
        opened = capture.isOpened()
        while True:
            read, frame = capture.read()
            if not read:
                break
            image = np.asarray(frame, dtype=np.uint8)
            yield ImageInput(video.path, image, frame_index=count, saved_as=video.saved_as)
            count += 1
    finally:
        capture.release()
    LOGGER.info("%s: %d frames read", video.path, count)
    if count == 0:
        problem = (
            "is a video without frames"
            if opened
            else "can't be opened as a video: it is damaged, or of a kind that this OpenCV can't "
            "decode; ffmpeg can say more, and convert it to MP4"
        )
        yield FileInput(video.path, video.saved_as, f"{video.path!r} {problem}")


def _expand_path(path: str) -> Iterator[object]:
    if not is_url(path):
        files = files_in(path)
        if files:
            for file in files:
                yield from read_frames(file) if is_video(file.path) else [file]
            return
        if is_video(path):
            yield from read_frames(FileInput(path))
            return
    yield path


def _rival_key(path: str) -> tuple[PurePath, bool]:
    """Return what files that would be saved under one name have in common."""
    return PurePath(path).with_suffix(""), has_image_name(path)
