"""Files that list images: text, CSV, JSON Lines or Parquet."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpose.errors import InputError
from tritonpose_batch.stores import file_system, is_stored

if TYPE_CHECKING:
    import pyarrow as pa
    from fsspec import AbstractFileSystem

_SUFFIX = re.compile(r".*\.(txt|csv|jsonl|parquet)", re.IGNORECASE | re.DOTALL)
COLUMNS = ("path", "url", "address")
"""The names of the column that holds the addresses, where there are several columns."""


def is_listing(name: str) -> bool:
    """Whether a path or address is that of a file that lists images."""
    return _SUFFIX.fullmatch(name) is not None


def read_listing(name: str) -> list[str]:
    """Reads a list of images.

    Args:
        name: Path or address of the list. Text: one address per line. CSV (with a header), JSON
            Lines and Parquet: the column of one of the names in `COLUMNS`, or the only one.

    Returns:
        The addresses. Paths in it are relative to the directory of the list, if that is a local
        file.

    Raises:
        InputError: It can't be read, has no such column, or an address isn't text.
    """
    system, path = file_system(name)
    try:
        addresses = _addresses(system, path, name)
    except (OSError, ValueError) as error:
        # pyarrow's errors are ValueErrors, such as of a broken CSV or Parquet file.
        raise InputError(f"can't read the list {name!r}: {error}", name) from error
    if is_stored(name):
        return addresses
    folder = Path(name).parent
    return [address if _has_scheme(address) else str(folder / address) for address in addresses]


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
            f"the list {name!r} has the columns {', '.join(table.column_names)}, and none of "
            f"{', '.join(COLUMNS)}, which holds the addresses",
            name,
        )
    values: list[object] = table.column(names[0]).to_pylist()
    addresses = [value for value in values if isinstance(value, str) and value]
    if len(addresses) != len(values):
        row = next(i for i, value in enumerate(values) if not (isinstance(value, str) and value))
        raise InputError(
            f"row {row + 1} of the list {name!r} has no address in the column {names[0]!r}: "
            f"{values[row]!r}",
            name,
        )
    return addresses


def _has_scheme(address: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", address) is not None
