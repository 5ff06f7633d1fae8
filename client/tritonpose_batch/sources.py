"""Read items: from files, through fsspec from object stores, and frames of videos."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from tritonpose.errors import InputError
from tritonpose.file_types import is_url
from tritonpose.inputs import FileInput, ImageInput
from tritonpose.inputs.addresses import SCHEME
from tritonpose.inputs.files import MAX_BYTES, too_long
from tritonpose.inputs.frames import read_frames
from tritonpose.inputs.streams import copied

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from tritonpose_batch.items import Item


def has_scheme(address: str) -> bool:
    """Check whether this is a URL or an address for fsspec, not a path."""
    return SCHEME.match(address) is not None


def is_stored(address: str) -> bool:
    """Check whether this is an address for fsspec, neither a path nor an http(s) URL.

    The client fetches http(s) URLs by itself, with limits of size and time.
    """
    return has_scheme(address) and not is_url(address)


def file_system(address: str) -> tuple[AbstractFileSystem, str]:
    """Find the file system of an address, and its path there.

    InputError: fsspec doesn't know the scheme, lacks a package for it, or finds no credentials.
    """
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(address)
    except ImportError as error:
        # fsspec's message names the package to install.
        raise InputError(f"can't read {address!r}: {error}", address) from error
    except (ValueError, OSError) as error:
        raise InputError(f"can't open {address!r}: {error}", address) from error
    return system, path


def sources_of(items: Iterable[Item]) -> Iterator[object]:
    """Make inputs for ``predict``, which reads files in threads, and frames on demand.

    The results have the paths of the items.
    """
    for item in items:
        stored = is_stored(item.path)
        problem = None if has_scheme(item.path) else _no_file(item.path)
        if problem is not None:
            yield FileInput(item.path, problem=problem)
        elif not item.video:
            read = partial(_read_stored, item.path) if stored else None
            yield FileInput(item.path, read=read)
        elif stored:
            yield from _stored_frames(item.path)
        else:
            yield from read_frames(FileInput(item.path))


def _no_file(path: str) -> str | None:
    """Say what a path is that is no regular file: reading it might never end."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 (reading says what is wrong with the path)
    except (OSError, ValueError):
        return None
    if stat.S_ISDIR(mode):
        return f"{path!r} is a directory: give it as an input of its own, or list its files"
    return None if stat.S_ISREG(mode) else f"{path!r} is a pipe or a device, not a file"


def _read_stored(address: str) -> bytes:
    """Read a file through fsspec; raises InputError."""
    system, path = file_system(address)
    try:
        with system.open(path, "rb") as file:
            data: bytes = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise InputError(f"no such file: {address!r}", address) from error
    except Exception as error:
        raise InputError(_unreadable(address, error), address) from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{address!r} {too_long()}", address)
    return data


def _unreadable(address: str, error: Exception) -> str:
    """Describe a store's own error: each store has its own classes, most of them no OSError."""
    return f"can't read {address!r}: {type(error).__name__}: {error}"


def _stored_frames(address: str) -> Iterator[ImageInput | FileInput]:
    """Read a video's frames from a local copy: a decoder jumps about, which stores are slow at."""
    with ExitStack() as stack:
        try:
            system, path = file_system(address)
            with system.open(path, "rb") as video:
                copy = copied(video, stack)
        except InputError as error:
            yield FileInput(address, problem=str(error))
            return
        except Exception as error:
            yield FileInput(address, problem=_unreadable(address, error))
            return
        yield from read_frames(FileInput(address), copy)
