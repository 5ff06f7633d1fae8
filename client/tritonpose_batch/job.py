"""Define a job: its options, its files, and its inputs, fixed at its start for all later runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritonpose import __version__
from tritonpose.config import PIPELINE_NAME, PipelineConfig
from tritonpose.errors import ConfigError
from tritonpose.transport.connection import ConnectionOptions
from tritonpose.whole_files import remove_unfinished, whole_file
from tritonpose_batch.items import Item
from tritonpose_pipeline.thresholds import Threshold

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 2
"""Raised when the files of a job change so that a job of an older version can't be continued."""


_PATH_CODEC = ("utf-8", "surrogateescape")


@dataclass(frozen=True)
class JobOptions:
    """How a job runs.

    Attributes:
        pipeline: Pipeline name, or path of a PaddleX pipeline YAML.
        det_threshold: Detector score that a person must exceed, also by class; None for the
            pipeline's.
        shard_size: Images per shard: what a kill may cost, per worker.
        url: The servers; None for an embedded one per node.
        connection: Credentials for those servers: keys and certificates.
        device: Where embedded servers compute; None for the CPU.
        strict_models: Whether it is an error for them that an open model would stand in.
        address: Of the Ray cluster; None for this machine.
        workers: How many, over all nodes; None for one per four cores.
        max_in_flight: Images in flight at once, per worker.
        timeout: Seconds that an image may take, retries included.
        coco: Whether the COCO file is written.
    """

    pipeline: str = PIPELINE_NAME
    det_threshold: Threshold | None = None
    shard_size: int = 500
    url: str | None = None
    # Never shown: it holds API keys.
    connection: ConnectionOptions = field(default_factory=ConnectionOptions, repr=False)
    device: str | None = None
    strict_models: bool = False
    address: str | None = None
    workers: int | None = None
    max_in_flight: int = 16
    timeout: float = 60.0
    coco: bool = True

    def settings(self, config: PipelineConfig) -> dict[str, Any]:
        """Return the settings that decide the results: equal in all runs of a job."""
        return {
            # As JSON gives it back.
            "pipeline": json.loads(json.dumps(asdict(config), default=str)),
            "det_threshold": self.det_threshold,
            "shard_size": self.shard_size,
        }


class Layout:
    """The files of a job, in the output directory `root`.

    `inputs` has one row group per shard. `lock` is locked by the run in progress; `run` says what
    it must clean up, or else the next one.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.job = root / "job" / "job.json"
        self.inputs = root / "job" / "inputs.parquet"
        self.lock = root / "job" / "lock"
        self.run = root / "job" / "run.json"
        self.poses = root / "poses"
        self.coco = root / "coco.json"

    def part(self, shard: int) -> Path:
        """Return the path of a shard's results; the file exists when it is complete."""
        return self.poses / f"part-{shard:06d}.parquet"


@dataclass(frozen=True)
class Task:
    """What every worker needs to know; all nodes share the storage of `layout`.

    Relative paths of inputs start in `directory`. `name` is the run's own, a prefix for the names
    of its servers.
    """

    layout: Layout
    directory: Path
    config: PipelineConfig
    options: JobOptions
    name: str


def open_job(layout: Layout, items: Sequence[Item], settings: Mapping[str, Any]) -> int:
    """Begin a job, or check that it is the one begun before; return the number of shards.

    ``settings`` are `JobOptions.settings`. Of another job, ConfigError names the items or settings
    that differ.
    """
    wanted = {"format": FORMAT, **settings}
    if layout.job.exists():
        begun = json.loads(layout.job.read_text("utf-8"))
        _check_settings(layout, begun["settings"], wanted)
        _check_items(layout, items)
        return int(begun["shards"])
    if layout.poses.exists() and any(layout.poses.iterdir()):
        raise ConfigError(
            f"{layout.poses} holds files, but {layout.job} is missing: name another --output"
        )
    layout.job.parent.mkdir(parents=True, exist_ok=True)
    layout.poses.mkdir(exist_ok=True)
    remove_unfinished(layout.job.parent)
    shards = _write_items(layout, cut(items, settings["shard_size"]))
    content = {
        "tritonpose": __version__,
        "settings": wanted,
        "items": len(items),
        "shards": shards,
    }
    # Last: a job has begun when this file exists.
    with whole_file(layout.job, durable=True) as file:
        file.write(json.dumps(content, indent=2).encode() + b"\n")
    return shards


def cut(items: Sequence[Item], size: int) -> Iterator[list[tuple[int, Item]]]:
    """Cut items into shards: up to `size` consecutive images, or one video.

    Yields items with their numbers, from 0.
    """
    shard: list[tuple[int, Item]] = []
    for number, item in enumerate(items):
        if shard and (item.video or len(shard) == size):
            yield shard
            shard = []
        shard.append((number, item))
        if item.video:
            yield shard
            shard = []
    if shard:
        yield shard


def read_shard(layout: Layout, shard: int) -> list[tuple[int, Item]]:
    """Read the items of a shard, with their numbers."""
    from pyarrow import parquet

    with layout.inputs.open("rb") as opened, parquet.ParquetFile(opened) as file:
        return _items_of(file.read_row_group(shard))


def _write_items(layout: Layout, shards: Iterator[list[tuple[int, Item]]]) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(
        [
            ("item", pa.int64()),
            # As the file system has it, which need not be UTF-8.
            ("path", pa.binary()),
            ("video", pa.bool_()),
            ("version", pa.string()),
        ]
    )
    count = 0
    with (
        whole_file(layout.inputs, durable=True) as file,
        parquet.ParquetWriter(file, schema) as writer,
    ):
        for shard in shards:
            rows = [
                {"item": number, **vars(item), "path": item.path.encode(*_PATH_CODEC)}
                for number, item in shard
            ]
            writer.write_table(
                pa.Table.from_pylist(rows, schema=schema), row_group_size=max(len(rows), 1)
            )
            count += 1
    return count


def _items_of(table: pa.Table) -> list[tuple[int, Item]]:
    columns = [table.column(name).to_pylist() for name in ("item", "path", "video", "version")]
    return [
        (number, Item(path.decode(*_PATH_CODEC), video, version))
        for number, path, video, version in zip(*columns, strict=True)
    ]


def _check_settings(layout: Layout, begun: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    for name in sorted({*begun, *wanted}):
        if begun.get(name) != wanted.get(name):
            raise ConfigError(
                f"{layout.root} was begun with {name}={begun.get(name)!r}, now it is "
                f"{wanted.get(name)!r}: continue with the former, or name another --output"
            )


def _check_items(layout: Layout, items: Sequence[Item]) -> None:
    from pyarrow import parquet

    with layout.inputs.open("rb") as file:
        begun = {item.path: item for _, item in _items_of(parquet.read_table(file))}
    wanted = {item.path: item for item in items}
    differences = {
        "new": [path for path in wanted if path not in begun],
        "gone": [path for path in begun if path not in wanted],
        "changed": [path for path in wanted if path in begun and wanted[path] != begun[path]],
    }
    found = [
        f"{len(paths)} {what}, such as {paths[0]!r}" for what, paths in differences.items() if paths
    ]
    if found:
        raise ConfigError(
            f"the inputs differ from those of the job in {layout.root}: {'; '.join(found)}. "
            "Give the same inputs, or name another --output"
        )
