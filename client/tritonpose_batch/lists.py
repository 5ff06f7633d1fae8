"""Read lists of addresses: text, CSV, JSON Lines and Parquet, in any encoding that people have."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tritonpose.errors import InputError
from tritonpose.file_types import has_image_name, has_video_name
from tritonpose_batch.sources import file_system, has_scheme

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("path", "url", "address")
"""Names of a list's column of addresses, where the list has several columns."""

_LIST = re.compile(r".*\.(txt|csv|tsv|jsonl|ndjson|parquet)", re.IGNORECASE | re.DOTALL)
# Words: no numbers, as in IMG_0001, no suffix and no folder.
_HEADER = re.compile(r"[^\W\d_]+([ _-][^\W\d_]+)*")
_QUOTED = re.compile(r'"([^"]+)"')
# Not str.splitlines(), which also cuts at characters that file names may have.
_LINE_END = re.compile(r"\r\n|\r|\n")
_INDEX = "__index_level_"  # of pandas
# Spreadsheets write it before the header.
_DELIMITER_LINE = re.compile(r"\s*\"?sep=([^\w\s]|\t)\"?[ \t]*(\r\n|\r|\n)", re.IGNORECASE)


def is_list(name: str) -> bool:
    """Check whether this is the name of a list, not of an image or a video."""
    return _LIST.fullmatch(name) is not None


def read_list(name: str, report: Callable[[str], None]) -> list[str]:
    """Read the addresses of a list; bytes that are no UTF-8 are kept as `os.fsdecode` does.

    ``report`` is called with a first line that was taken for a header. InputError: the list is
    unreadable or holds nothing, or it is unclear where its addresses are.
    """
    system, path = file_system(name)
    folder = None if has_scheme(name) else Path(name).parent
    try:
        with system.open(path, "rb") as file:
            addresses = _addresses(file, path, _Reader(name, folder, report))
    except InputError:
        raise
    # pyarrow's errors are ValueErrors.
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"can't read the list {name!r}: {error}", name) from error
    if not addresses:
        raise InputError(f"the list {name!r} lists nothing", name)
    if folder is None:
        return addresses
    return [address if has_scheme(address) else str(folder / address) for address in addresses]


def _addresses(file: IO[bytes], path: str, reader: _Reader) -> list[str]:
    suffix = path.rpartition(".")[2].lower()
    if suffix == "parquet":
        return reader.parquet(file)
    data = file.read()
    # JSON's rule, with and without a byte order mark, holds for any text that begins in ASCII.
    text = data.decode(json.detect_encoding(data), "surrogateescape")
    if suffix == "txt":
        return reader.lines(text)
    if suffix in ("jsonl", "ndjson"):
        return reader.json_lines(text)
    return reader.table(text, "\t" if suffix == "tsv" else ",;\t|")


class _Reader:
    """Find the addresses in one list, whose relative paths begin in ``folder``."""

    def __init__(self, name: str, folder: Path | None, report: Callable[[str], None]) -> None:
        self._name = name
        self._folder = folder
        self._report = report

    def lines(self, text: str) -> list[str]:
        if "\0" in text:
            # As `find -print0` and `git ls-files -z` write them.
            return [line for line in text.split("\0") if line.strip()]
        found = []
        for number, line in enumerate(_LINE_END.split(text), 1):
            address = line.strip(" \t")
            quoted = _QUOTED.fullmatch(address)
            if quoted and not self._exists(address):
                address = quoted[1]
            if address:
                found.append(self._checked(address, f"line {number}", None))
        return found

    def table(self, text: str, delimiters: str) -> list[str]:
        """Read CSV with the first delimiter that makes a known column, else the first of all."""
        if named := _DELIMITER_LINE.match(text):
            text, delimiters = text[named.end() :], named[1]
        first = next((line for line in _LINE_END.split(text) if line.strip()), "")
        delimiter = next(
            (each for each in delimiters if _known_column(_cells(first, each)) is not None),
            delimiters[0],
        )
        rows = csv.reader(
            io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
        )
        column: int | None = None
        label: str | None = None
        width = 0
        found = []
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if column is None:
                column, is_header = self._column_of_table(row)
                width = len(row)
                if is_header:
                    label = row[column].strip()
                    continue
            place = f"line {rows.line_num}"
            if any(row[width:]):
                raise InputError(
                    f"{place} of the list {self._name!r} has {len(row)} columns, its first line "
                    f"{width}: put an address that holds {delimiter!r} between double quotes",
                    self._name,
                )
            found.append(self._checked(row[column] if column < len(row) else "", place, label))
        return found

    def json_lines(self, text: str) -> list[str]:
        rows: list[tuple[str, Any]] = []
        for number, line in enumerate(_LINE_END.split(text), 1):
            if line.strip():
                try:
                    rows.append((f"line {number}", json.loads(line)))
                except (ValueError, RecursionError) as error:
                    raise InputError(
                        f"can't read the list {self._name!r}: line {number} is no JSON: {error}",
                        self._name,
                    ) from error
        keys = dict.fromkeys(key for _, row in rows if isinstance(row, dict) for key in row)
        column = self._column_of([*keys]) if keys else None
        return [
            self._checked(row.get(column) if isinstance(row, dict) else row, place, column)
            for place, row in rows
        ]

    def parquet(self, file: IO[bytes]) -> list[str]:
        from pyarrow import parquet

        with parquet.ParquetFile(file) as table:
            names = [name for name in table.schema_arrow.names if not name.startswith(_INDEX)]
            column = self._column_of(names)
            values: pa.ChunkedArray = table.read(columns=[column]).column(0)
            return [
                self._checked(value, f"row {number}", column)
                for number, value in enumerate(values.to_pylist(), 1)
            ]

    def _column_of(self, names: Sequence[str]) -> str:
        column = 0 if len(names) == 1 else _known_column(names)
        if column is None:
            raise self._unknown_columns(names)
        return names[column]

    def _unknown_columns(self, names: Sequence[str]) -> InputError:
        return InputError(
            f"the list {self._name!r} has the columns {', '.join(names)}; expected one of "
            f"{', '.join(COLUMNS)}, with the addresses",
            self._name,
        )

    def _column_of_table(self, row: Sequence[str]) -> tuple[int, bool]:
        """Find the column of addresses by the first row, and whether that is a header."""
        column = _known_column(row)
        if column is not None:
            return column, True
        if not any(row[1:]):
            is_header = _HEADER.fullmatch(row[0].strip()) is not None and not self._exists(row[0])
            if is_header:
                self._report(f"the first line of {self._name!r} is taken for a header: {row[0]!r}")
            return 0, is_header
        if any(self._names_input(cell) for cell in row):
            raise InputError(
                f"the list {self._name!r} has several columns, and its first line is no header: "
                f"{', '.join(row)}; give it one that names the column of addresses {COLUMNS[0]!r}",
                self._name,
            )
        raise self._unknown_columns(row)

    def _names_input(self, cell: str) -> bool:
        named = has_scheme(cell) or has_image_name(cell) or has_video_name(cell)
        return named or (bool(cell) and self._exists(cell))

    def _exists(self, address: str) -> bool:
        try:
            return self._folder is not None and (self._folder / address).exists()
        except (OSError, ValueError):
            return False

    def _checked(self, value: object, place: str, column: str | None) -> str:
        """Return an address as text; raise InputError for what can't be one."""
        if isinstance(value, bytes):
            value = value.decode("utf-8", "surrogateescape")
        if not (isinstance(value, str) and value):
            where = f" in the column {column!r}" if column is not None else ""
            raise InputError(
                f"{place} of the list {self._name!r} has no address{where}: {value!r}", self._name
            )
        try:
            value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise InputError(
                f"{place} of the list {self._name!r} is no text: it holds half of a character, "
                f"{value[error.start]!a}",
                self._name,
            ) from error
        return value


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])


def _known_column(names: Sequence[str]) -> int | None:
    """Find the column of one of the names in `COLUMNS`, in their order, however capitalized."""
    plain = [name.strip().lower() for name in names]
    return next((plain.index(column) for column in COLUMNS if column in plain), None)
