"""Write a shard's results as Parquet rows, in a file that appears when it is complete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import parquet

from tritonpose.inputs import size_of
from tritonpose.saving import as_text
from tritonpose.whole_files import whole_file
from tritonpose_pipeline.keypoint_schema import default_schema

if TYPE_CHECKING:
    from tritonpose.result import KeypointResult

_KEYPOINT = pa.list_(pa.float32(), 3)

SCHEMA = pa.schema(
    [
        ("item", pa.int64()),
        ("path", pa.string()),
        ("page_index", pa.int32()),
        ("frame_index", pa.int32()),
        ("frame_time", pa.float64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("boxes", pa.list_(pa.list_(pa.float32(), 4))),
        ("det_scores", pa.list_(pa.float32())),
        ("keypoints", pa.list_(pa.list_(_KEYPOINT))),
        ("kpt_scores", pa.list_(pa.float32())),
        ("truncated", pa.bool_()),
        ("keypoint_schema", pa.string()),
        ("error_class", pa.string()),
        ("error_message", pa.string()),
    ]
)
"""One row per image, page or frame; docs/use/command_line.md describes the columns."""

_ROWS_PER_GROUP = 1024


@dataclass(frozen=True)
class Counts:
    """Count rows without an error (images), people in them, and rows with an error.

    `persons` is also the name in the files' metadata.
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


class ShardWriter:
    """The rows of a shard, as they are written."""

    def __init__(self, writer: parquet.ParquetWriter) -> None:
        self._writer = writer
        self._rows: list[dict[str, Any]] = []
        self.counts = Counts()

    def add(self, row: dict[str, Any]) -> None:
        """Add a row of `SCHEMA`."""
        failed = row["error_class"] is not None
        persons = 0 if failed else len(row["boxes"])
        self.counts += Counts(int(not failed), persons, int(failed))
        self._rows.append(row)
        if len(self._rows) == _ROWS_PER_GROUP:
            self._flush()

    def finish(self) -> None:
        """Write the rows that are left, and the counts."""
        self._flush()
        self._writer.add_key_value_metadata(
            {_key(name): str(count) for name, count in asdict(self.counts).items()}
        )

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=SCHEMA))
            self._rows = []


@contextmanager
def writing_part(path: Path) -> Iterator[ShardWriter]:
    """Open a part, which takes its place when the context ends without an error."""
    # pyarrow takes a path for UTF-8, and one with a colon for an address.
    with (
        whole_file(path, durable=True) as file,
        parquet.ParquetWriter(file, SCHEMA, compression="zstd") as writer,
    ):
        part = ShardWriter(writer)
        yield part
        part.finish()


def finished_counts(path: Path) -> Counts | None:
    """Read what a finished part holds; None if there is none that can be read."""
    try:
        with path.open("rb") as file:
            metadata = parquet.read_metadata(file).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    names = [field.name for field in fields(Counts)]
    try:
        return Counts(**{name: int(metadata[_key(name).encode()]) for name in names})
    except KeyError:
        return None


def _key(name: str) -> str:
    return f"tritonpose.{name}"


def row_of(item: int, path: str, result: KeypointResult) -> dict[str, Any]:
    """Make a row of `SCHEMA` of the input numbered ``item``, or one of its pages or frames."""
    row: dict[str, Any] = {
        "item": item,
        "path": as_text(path),
        "page_index": result.get("page_index"),
        "frame_index": result.get("frame_index"),
        "frame_time": result.get("frame_time"),
        "error_class": None,
        "error_message": None,
    }
    row["width"], row["height"] = size_of(result.held_image()) or (None, None)
    if result.error is not None:
        # The columns of people stay null: an image that failed isn't one without people.
        message = as_text(str(result.error))
        row |= {"error_class": type(result.error).__name__, "error_message": message}
        return row
    people = result.arrays
    schema = people.schema
    return row | {
        "boxes": list(people.boxes),
        "det_scores": people.det_scores,
        "keypoints": people.keypoints.tolist(),
        "kpt_scores": people.kpt_scores,
        "truncated": people.truncated,
        "keypoint_schema": None
        if schema == default_schema(len(schema.names))
        else schema.to_json(),
    }
