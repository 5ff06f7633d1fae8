"""From what a user names to a list of images and videos, in an order that is always the same."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonpose.errors import InputError
from tritonpose.inputs.expansion import files_in
from tritonpose.inputs.kinds import has_image_name, has_video_name, is_url, is_video
from tritonpose_batch.listings import is_listing, read_listing
from tritonpose_batch.stores import file_system, is_stored

# What file systems say of a file's version, the most telling first.
_VERSION_KEYS = ("ETag", "etag", "generation", "mtime", "LastModified", "last_modified", "created")


@dataclass(frozen=True)
class Item:
    """An image or a video to work on.

    Attributes:
        path: A path, an http(s) URL or an address that fsspec knows.
        video: Whether it is a video.
        version: Changes with the file's content, as far as listing it tells; "" where it tells
            nothing or there is no such file.
    """

    path: str
    video: bool
    version: str


def list_items(inputs: Sequence[str]) -> list[Item]:
    """Lists the images and videos that inputs mean.

    Args:
        inputs: Images, videos, directories (all images and videos in them and below), glob
            patterns, http(s) URLs, addresses of object stores (of files, directories and
            patterns), and files that list further ones (see `read_listing`).

    Returns:
        Each address once, in the order of the inputs; those of a directory or a pattern sorted.

    Raises:
        InputError: An input that is named directly does not exist or holds nothing. What a file
            lists may be missing: it fails at its turn.
    """
    items: dict[str, Item] = {}
    for name in inputs:
        for item in _expand(name):
            items.setdefault(item.path, item)
    return list(items.values())


def _expand(name: str) -> Iterator[Item]:
    if is_listing(name):
        for address in read_listing(name):
            yield _stored_item(address) if is_stored(address) else _local_item(address)
    elif is_url(name):
        yield Item(name, video=False, version="")
    elif is_stored(name):
        yield from _in_store(name)
    elif Path(name).exists():
        yield from _in_path(name)
    else:
        matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 (keeps the user's spelling)
        if not matches:
            raise InputError(f"no such file or directory, and no match: {name!r}", name)
        for match in matches:
            yield from _in_path(match)


def _in_path(path: str) -> Iterator[Item]:
    """The files of a local path; raises InputError for a directory without any."""
    if not Path(path).is_dir():
        yield _local_item(path)
        return
    files = files_in(path)
    if not files:
        raise InputError(f"no images or videos in the directory {path!r} or below", path)
    yield from (_local_item(file.path) for file in files)


def _local_item(path: str) -> Item:
    if is_url(path):
        return Item(path, video=False, version="")
    try:
        stat = os.stat(path)  # noqa: PTH116 (a path that is no path is told at its turn)
    except (OSError, ValueError):
        return Item(path, video=False, version="")
    return Item(path, is_video(path), f"{stat.st_size}-{stat.st_mtime_ns}")


def _in_store(address: str) -> Iterator[Item]:
    """The files of an object store; raises InputError where there are none."""
    system, path = file_system(address)
    try:
        if glob.has_magic(path):
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
