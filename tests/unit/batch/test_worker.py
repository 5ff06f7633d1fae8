"""From a shard's items to its part, without a server; errors inside Ray as the user sees them."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import cv2
import fsspec
import numpy as np
import pytest
from pyarrow import parquet

from poses import people
from tritonpose import AsyncPipeline, InputError, ServerUnavailableError
from tritonpose.transport.messages import InferRequest, PoseResponse
from tritonpose_batch.cluster import cause_of
from tritonpose_batch.coco import write_coco
from tritonpose_batch.items import Item
from tritonpose_batch.job import Layout, open_job
from tritonpose_batch.results import Counts, finished_counts
from tritonpose_batch.worker import process_shard
from videos import gray_frames, write_video

SETTINGS = {"shard_size": 10}


class Nobody:
    """A transport to a server that finds no people, or to none at all."""

    def __init__(self, reachable: bool = True) -> None:
        self.reachable = reachable

    async def infer(self, request: InferRequest) -> PoseResponse:
        if not self.reachable:
            raise ServerUnavailableError("no server listens")
        assert (request.image is None) != (request.frame is None)
        return people(0)

    async def is_ready(self, timeout: float) -> bool:
        return timeout > 0 and self.reachable

    async def close(self) -> None:
        pass


def work(layout: Layout, items: list[Item], transport: Nobody) -> list[Counts]:
    """Process all shards; return the last counts of each."""
    shards = open_job(layout, items, SETTINGS)

    async def last_counts(shard: int) -> Counts:
        async with AsyncPipeline(transport) as pipeline:
            return [counts async for counts in process_shard(shard, layout, pipeline, None)][-1]

    return [asyncio.run(last_counts(shard)) for shard in range(shards)]


def test_images_and_videos_of_object_stores(tmp_path: Path) -> None:
    image = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    clip = write_video(tmp_path / "clip.mp4", gray_frames(3)).read_bytes()
    store = fsspec.filesystem("memory")
    for name, content in (("a.jpg", image), ("b.mp4", clip), ("c.mp4", clip[:-100])):
        store.pipe(f"/shard/{name}", content)
    items = [
        Item(f"memory:///shard/{name}", name.endswith("mp4"), "")
        for name in ("a.jpg", "gone.jpg", "b.mp4", "c.mp4", "gone.mp4")
    ]
    layout = Layout(tmp_path / "out")
    counts = work(layout, items, Nobody())
    assert counts[:2] == [Counts(1, 0, 1), Counts(3, 0, 0)]
    assert [finished_counts(layout.part(shard)) for shard in range(4)] == counts
    rows = parquet.read_table(layout.poses).to_pylist()
    places = [(row["item"], row["frame_index"], row["frame_time"]) for row in rows]
    assert [place for place in places if place[0] < 3] == [
        (0, None, None),
        (1, None, None),
        *((2, frame, frame / 10) for frame in range(3)),
    ]
    assert {(row["width"], row["height"]) for row in rows if row["boxes"] is not None} == {(64, 48)}
    errors = {row["item"]: row["error_message"] for row in rows if row["error_class"]}
    assert errors[1] == "no such file: 'memory:///shard/gone.jpg'"
    assert errors[3].startswith("'memory:///shard/c.mp4' can't be decoded as a video")
    assert errors[4].startswith("can't read 'memory:///shard/gone.mp4': FileNotFoundError")


def test_paths_that_are_no_utf_8(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xd0\xd0")
    folder.mkdir()
    image = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    good, bad = folder / "a.jpg", folder / os.fsdecode(b"\xc8\xcb.jpg")
    good.write_bytes(image)
    bad.write_bytes(b"no image")
    items = [Item(str(path), False, "") for path in (good, bad)]
    layout = Layout(folder / "out")
    assert work(layout, items, Nobody()) == [Counts(1, 0, 1)]
    assert work(layout, items, Nobody()) == [Counts(1, 0, 1)]
    write_coco([layout.part(0)], layout.coco)
    shown = f"{tmp_path}/" + r"\xd0\xd0/"
    with layout.part(0).open("rb") as part:
        rows = parquet.read_table(part).to_pylist()
    assert [row["path"] for row in rows] == [f"{shown}a.jpg", shown + r"\xc8\xcb.jpg"]
    assert "looks like text" in rows[1]["error_message"]
    assert json.loads(layout.coco.read_text())["images"][0]["file_name"] == f"{shown}a.jpg"


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder").mkdir()
    items = [Item(str(tmp_path / name), False, "") for name in ("pipe.jpg", "folder")]
    layout = Layout(tmp_path / "out")
    assert work(layout, items, Nobody()) == [Counts(0, 0, 2)]
    pipe, folder = (row["error_message"] for row in parquet.read_table(layout.poses).to_pylist())
    assert pipe.endswith("pipe.jpg' is a pipe or a device, not a file")
    assert "is a directory: give it as an input of its own" in folder


def test_without_a_server_there_is_no_part(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), np.zeros((48, 64, 3), np.uint8))
    layout = Layout(tmp_path / "out")
    with pytest.raises(ServerUnavailableError, match="no server listens"):
        work(layout, [Item(str(path), False, "")], Nobody(reachable=False))
    assert list(layout.poses.iterdir()) == []


class WrappedError(ServerUnavailableError):
    """Poses as its cause, as Ray's errors do."""

    def __init__(self, cause: BaseException | None) -> None:
        super().__init__("Traceback ...\nat the very end: 1")
        self.cause = cause


def test_the_cause_without_rays_lines() -> None:
    inner = ServerUnavailableError("no server\nFailed to apply UDF transform")
    outer = RuntimeError("ray")
    outer.__cause__ = WrappedError(inner)
    assert str(cause_of(outer)) == "no server"
    assert str(cause_of(InputError("no such file", "a.jpg"))) == "no such file"


def test_a_missing_module_stays_one() -> None:
    missing = ModuleNotFoundError("No module named 'tritonpose_server'")
    assert cause_of(WrappedError(missing)) is missing


def test_other_errors_by_their_last_line() -> None:
    assert str(cause_of(WrappedError(None))) == "a worker failed: at the very end: 1"
