"""List the images and videos that a user's inputs name, always in the same order."""

from __future__ import annotations

import glob
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonpose.errors import InputError
from tritonpose.file_types import has_image_name, has_video_name, is_url, is_video
from tritonpose.inputs.addresses import local_path
from tritonpose.inputs.folders import describe, search_folder
from tritonpose_batch.lists import is_list, read_list
from tritonpose_batch.sources import file_system, has_scheme, is_stored

# Where file systems note the version of a file, the most exact first.
_VERSION_KEYS = ("ETag", "etag", "generation", "mtime", "LastModified", "last_modified", "created")


@dataclass(frozen=True)
class Item:
    """An image or a video, at a path, an http(s) URL or an address that fsspec knows.

    Its version changes with the file's content, as far as the file system shows; "" where it shows
    nothing or there is no such file.
    """

    path: str
    video: bool
    version: str


def list_items(
    inputs: Sequence[str],
    report: Callable[[str], None],
    passed_over: Counter[str] | None = None,
) -> list[Item]:
    """List the images and videos that inputs name: each address once, in the order of the inputs.

    Inputs are images, videos, directories (all images and videos in them and below, sorted), glob
    patterns (sorted, too), http(s) URLs, addresses of object stores (of files, directories and
    patterns), and lists of further ones, see `read_list`; paths in a local list are relative to its
    directory. ``report`` gets lines for the user, on what may not be as meant; ``passed_over``
    counts, by kind, what directories hold besides. InputError: an input that is named directly does
    not exist or holds nothing, or a list can't be read. Addresses in a list may be missing: each
    fails when it is read.
    """
    items: dict[str, Item] = {}
    for name in map(local_path, inputs):
        for item in _expand(name, report, Counter() if passed_over is None else passed_over):
            items.setdefault(item.path, item)
    return list(items.values())


def _expand(name: str, report: Callable[[str], None], passed_over: Counter[str]) -> Iterator[Item]:
    if is_url(name) and not is_list(name):
        yield Item(name, video=False, version="")
    elif is_stored(name) and not is_list(name):
        yield from _in_store(name)
    elif has_scheme(name) or Path(name).exists():
        yield from _in_file(name, report, passed_over)
    else:
        matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 (keeps the user's spelling)
        if not matches:
            raise InputError(f"no such file or directory, and no match: {name!r}", name)
        for match in matches:
            yield from _in_file(match, report, passed_over)


def _in_file(name: str, report: Callable[[str], None], passed_over: Counter[str]) -> Iterator[Item]:
    """List what a list or a local path holds; raises InputError for a directory without any."""
    if not has_scheme(name) and Path(name).is_dir():
        found = search_folder(name)
        passed_over.update(found.passed_over)
        if not found.files:
            besides = f": {describe(found.passed_over)}" if found.passed_over else ""
            raise InputError(
                f"no images or videos in the directory {name!r} or below{besides}", name
            )
        yield from map(_local_item, sorted(found.files))
    elif is_list(name):
        for address in map(local_path, read_list(name, report)):
            yield _stored_item(address) if is_stored(address) else _local_item(address)
    else:
        yield _local_item(name)


def _local_item(path: str) -> Item:
    if is_url(path):
        return Item(path, video=False, version="")
    try:
        status = os.stat(path)  # noqa: PTH116 (an invalid path fails when it is read)
    except (OSError, ValueError):
        return Item(path, video=False, version="")
    # What is no regular file may block the process that opens it.
    video = stat.S_ISREG(status.st_mode) and is_video(path)
    return Item(path, video, f"{status.st_size}-{status.st_mtime_ns}")


def _in_store(address: str) -> Iterator[Item]:
    """List the files of an object store; raises InputError where there are none."""
    system, path = file_system(address)
    try:
        if glob.has_magic(path) and not system.exists(path):
            found: Mapping[str, Any] = system.glob(path, detail=True)
            files = {key: info for key, info in found.items() if info["type"] == "file"}
        elif system.isdir(path):
            found = system.find(path, detail=True)
            files = {
                key: info
                for key, info in found.items()
                if has_image_name(key) or has_video_name(key)
            }
        else:
            files = {path: system.info(path)}
    except (OSError, ValueError) as error:
        raise InputError(f"can't list {address!r}: {error}", address) from error
    if not files:
        raise InputError(f"no images or videos at {address!r}", address)
    # The part behind "::" of chained addresses, such as zip://*.jpg::s3://bucket/photos.zip.
    _, chain, container = address.partition("::")
    for key in sorted(files):
        full = f"{address.partition('://')[0]}://{key.lstrip('/')}" if chain else None
        yield _stored_item(
            f"{full}{chain}{container}" if full else system.unstrip_protocol(key), files[key]
        )


def _stored_item(address: str, info: Mapping[str, Any] | None = None) -> Item:
    version = ""
    if info is not None:
        marks = [info[key] for key in _VERSION_KEYS if info.get(key) is not None]
        version = "-".join(map(str, [info.get("size"), *marks[:1]]))
    return Item(address, has_video_name(address.partition("::")[0]), version)
