"""From an item of a job to what the client's ``predict`` takes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath

from tritonpose.errors import InputError
from tritonpose.inputs import FileInput, ImageInput
from tritonpose.inputs.videos import read_frames
from tritonpose_batch.items import Item
from tritonpose_batch.stores import file_system, is_stored, read_stored


def sources_of(items: Iterable[Item]) -> Iterator[object]:
    """Makes inputs for ``predict``, which reads them in threads, and frames as they are asked for.

    Their results bear the paths of the items.
    """
    for item in items:
        stored = is_stored(item.path)
        if not item.video:
            read = partial(read_stored, item.path) if stored else None
            yield FileInput(item.path, read=read)
        elif stored:
            yield from _stored_frames(item.path)
        else:
            yield from read_frames(FileInput(item.path))


def _stored_frames(address: str) -> Iterator[ImageInput | FileInput]:
    """Reads a video's frames from a copy, as OpenCV reads nothing but files."""
    suffix = PurePosixPath(address.partition("::")[0]).suffix
    with tempfile.NamedTemporaryFile(prefix="tritonpose-", suffix=suffix) as copy:
        try:
            system, path = file_system(address)
            with system.open(path, "rb") as video:
                shutil.copyfileobj(video, copy, 2**20)
            copy.flush()
        except InputError as error:
            yield FileInput(address, problem=str(error))
            return
        except Exception as error:
            # Each store has errors of its own, most of them no OSError.
            problem = f"can't read {address!r}: {type(error).__name__}: {error}"
            yield FileInput(address, problem=problem)
            return
        for frame in read_frames(FileInput(copy.name)):
            if isinstance(frame, ImageInput):
                yield replace(frame, input_path=address)
            else:
                told = (frame.problem or "").replace(repr(copy.name), repr(address))
                yield FileInput(address, problem=told)
