"""The results of one shard, as a Parquet file that is there when it is complete."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import parquet

from tritonpose_batch.layout import publish, temporary_beside

if TYPE_CHECKING:
    from types import TracebackType

_KEYPOINT = pa.list_(pa.float32(), 3)

SCHEMA = pa.schema(
    [
        ("item", pa.int64()),
        ("path", pa.string()),
        ("page_index", pa.int32()),
        ("frame_index", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("boxes", pa.list_(pa.list_(pa.float32(), 4))),
        ("det_scores", pa.list_(pa.float32())),
        ("keypoints", pa.list_(pa.list_(_KEYPOINT, 17))),
        ("kpt_scores", pa.list_(pa.float32())),
        ("truncated", pa.bool_()),
        ("error_class", pa.string()),
        ("error_message", pa.string()),
    ]
)
"""One row per image, page or frame; docs/batch.md describes the columns."""

_ROWS_PER_GROUP = 1024


@dataclass(frozen=True)
class Counts:
    """What rows hold.

    Attributes:
        images: Rows without an error.
        persons: Persons in them.
        errors: Rows with one.
    """

    images: int = 0
    persons: int = 0
    errors: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.images + other.images, self.persons + other.persons, self.errors + other.errors
        )

    @property
    def rows(self) -> int:
        """Rows, with and without an error."""
        return self.images + self.errors


class PartWriter:
    """Writes rows; leaving it without an exception gives the file its name.

    Args:
        path: Of the complete file; one that is there is replaced.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = temporary_beside(path)
        self._rows: list[dict[str, Any]] = []
        self.counts = Counts()

    def __enter__(self) -> PartWriter:
        self._writer = parquet.ParquetWriter(self._temporary, SCHEMA, compression="zstd")
        return self

    def add(self, row: dict[str, Any]) -> None:
        """Adds a row of `SCHEMA`."""
        failed = row["error_class"] is not None
        persons = 0 if failed else len(row["boxes"])
        self.counts += Counts(int(not failed), persons, int(failed))
        self._rows.append(row)
        if len(self._rows) == _ROWS_PER_GROUP:
            self._flush()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._flush()
                self._writer.add_key_value_metadata(
                    {_key(name): str(count) for name, count in asdict(self.counts).items()}
                )
            self._writer.close()
            if error is None:
                publish(self._temporary, self._path)
        finally:
            self._temporary.unlink(missing_ok=True)

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=SCHEMA))
            self._rows = []


def finished_counts(path: Path) -> Counts | None:
    """What a finished part holds, None if there is none that can be read."""
    try:
        metadata = parquet.read_metadata(path).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    names = [field.name for field in fields(Counts)]
    try:
        return Counts(**{name: int(metadata[_key(name).encode()]) for name in names})
    except KeyError:
        return None


def _key(name: str) -> str:
    return f"tritonpose.{name}"
