"""List the images and videos that a user's inputs name, always in the same order."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritonpose.errors import InputError
from tritonpose.file_types import has_image_name, has_video_name, is_url, is_video
from tritonpose.inputs.expansion import files_in
from tritonpose_batch.sources import file_system, has_scheme, is_stored

if TYPE_CHECKING:
    import pyarrow as pa
    from fsspec import AbstractFileSystem

COLUMNS = ("path", "url", "address")
"""Names of a list's column of addresses, where the list has several columns."""

_LIST = re.compile(r".*\.(txt|csv|jsonl|parquet)", re.IGNORECASE | re.DOTALL)
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


def list_items(inputs: Sequence[str]) -> list[Item]:
    """List the images and videos that inputs name.

    Args:
        inputs: Images, videos, directories (all images and videos in them and below), glob
            patterns, http(s) URLs, addresses of object stores (of files, directories and
            patterns), and lists of further ones. A list is a text file (one address per line),
            CSV with a header, JSON Lines or Parquet (the column of one of the names in `COLUMNS`,
            or the only one); paths in a local list are relative to its directory.

    Returns:
        Each address once, in the order of the inputs; those of a directory or a pattern sorted.

    Raises:
        InputError: An input that is named directly does not exist or holds nothing, or a list
            can't be read. Addresses in a list may be missing: each fails when it is read.
    """
    items: dict[str, Item] = {}
    for name in inputs:
        for item in _expand(name):
            items.setdefault(item.path, item)
    return list(items.values())


def _expand(name: str) -> Iterator[Item]:
    if _LIST.fullmatch(name):
        for address in _read_list(name):
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
    """List the files of a local path; raises InputError for a directory without any."""
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
        stat = os.stat(path)  # noqa: PTH116 (an invalid path fails when it is read)
    except (OSError, ValueError):
        return Item(path, video=False, version="")
    return Item(path, is_video(path), f"{stat.st_size}-{stat.st_mtime_ns}")


def _in_store(address: str) -> Iterator[Item]:
    """List the files of an object store; raises InputError where there are none."""
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


def _read_list(name: str) -> list[str]:
    """Read the addresses of a list; raises InputError."""
    system, path = file_system(name)
    try:
        addresses = _addresses(system, path, name)
    except (OSError, ValueError) as error:
        # pyarrow's errors are ValueErrors, such as of a broken CSV or Parquet file.
        raise InputError(f"can't read the list {name!r}: {error}", name) from error
    if is_stored(name):
        return addresses
    folder = Path(name).parent
    return [address if has_scheme(address) else str(folder / address) for address in addresses]


def _addresses(system: AbstractFileSystem, path: str, name: str) -> list[str]:
    suffix = path.rpartition(".")[2].lower()
    with system.open(path, "rb") as file:
        if suffix == "txt":
            lines = file.read().decode("utf-8-sig").splitlines()
            return [line.strip() for line in lines if line.strip()]
        if suffix == "csv":
            from pyarrow import csv

            table = csv.read_csv(file)
        elif suffix == "jsonl":
            from pyarrow import json

            table = json.read_json(file)
        else:
            from pyarrow import parquet

            table = parquet.read_table(file)
    return _column(table, name)


def _column(table: pa.Table, name: str) -> list[str]:
    names = [column for column in COLUMNS if column in table.column_names]
    if not names and table.num_columns == 1:
        names = table.column_names
    if not names:
        raise InputError(
            f"the list {name!r} has the columns {', '.join(table.column_names)}; expected one of "
            f"{', '.join(COLUMNS)}, with the addresses",
            name,
        )
    addresses: list[str] = []
    for row, value in enumerate(table.column(names[0]).to_pylist(), 1):
        if not (isinstance(value, str) and value):
            raise InputError(
                f"row {row} of the list {name!r} has no address in the column {names[0]!r}: "
                f"{value!r}",
                name,
            )
        addresses.append(value)
    return addresses
