"""What a job is to do, written down at its start so that every later run does the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tritonpose import __version__
from tritonpose.errors import ConfigError
from tritonpose_batch.items import Item
from tritonpose_batch.layout import Layout, publish, remove_temporaries, temporary_beside

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
"""Raised when the files of a job change in a way that older runs can't be continued with."""


def open_job(layout: Layout, items: Sequence[Item], settings: Mapping[str, Any]) -> int:
    """Begins a job, or finds that it is the one begun before.

    Args:
        layout: Where it is kept.
        items: What to work on.
        settings: What decides the results, as JSON knows it; ``shard_size`` among them, the
            number of images per shard. A video is a shard of its own.

    Returns:
        The number of shards.

    Raises:
        ConfigError: Another job was begun there: items or settings differ, and the message says
            in what.
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
    remove_temporaries(layout.job.parent)
    shards = _write_items(layout, cut(items, settings["shard_size"]))
    content = {
        "tritonpose": __version__,
        "settings": wanted,
        "items": len(items),
        "shards": shards,
    }
    # Last: with it, the job is begun.
    temporary = temporary_beside(layout.job)
    temporary.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    publish(temporary, layout.job)
    return shards


def cut(items: Sequence[Item], size: int) -> Iterator[list[tuple[int, Item]]]:
    """Cuts items into shards.

    Args:
        items: In their order.
        size: Images per shard.

    Yields:
        Items with their numbers, from 0: up to `size` images that follow each other, or one video.
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
    """Reads the items of a shard, with their numbers."""
    from pyarrow import parquet

    with parquet.ParquetFile(layout.inputs) as file:
        return _items_of(file.read_row_group(shard))


def _write_items(layout: Layout, shards: Iterator[list[tuple[int, Item]]]) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(
        [
            ("item", pa.int64()),
            ("path", pa.string()),
            ("video", pa.bool_()),
            ("version", pa.string()),
        ]
    )
    count = 0
    temporary = temporary_beside(layout.inputs)
    with parquet.ParquetWriter(temporary, schema) as writer:
        for shard in shards:
            rows = [{"item": number, **vars(item)} for number, item in shard]
            writer.write_table(
                pa.Table.from_pylist(rows, schema=schema), row_group_size=max(len(rows), 1)
            )
            count += 1
    publish(temporary, layout.inputs)
    return count


def _items_of(table: pa.Table) -> list[tuple[int, Item]]:
    columns = [table.column(name).to_pylist() for name in ("item", "path", "video", "version")]
    return [
        (number, Item(path, video, version))
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

    begun = {item.path: item for _, item in _items_of(parquet.read_table(layout.inputs))}
    wanted = {item.path: item for item in items}
    differences = {
        "new": [path for path in wanted if path not in begun],
        "gone": [path for path in begun if path not in wanted],
        "changed": [path for path in wanted if path in begun and wanted[path] != begun[path]],
    }
    told = [
        f"{len(paths)} {what}, such as {paths[0]!r}" for what, paths in differences.items() if paths
    ]
    if told:
        raise ConfigError(
            f"the inputs are not those that {layout.root} was begun with: {'; '.join(told)}. "
            "Give the same inputs, or name another --output"
        )
