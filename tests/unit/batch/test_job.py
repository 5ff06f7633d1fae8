"""What a job writes down, and what it is refused to be continued with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tritonpose import ConfigError
from tritonpose.config import PipelineConfig
from tritonpose_batch.items import Item
from tritonpose_batch.job import JobOptions, Layout, Task, cut, open_job, read_shard

ITEMS = [
    Item("a.jpg", False, "1-1"),
    Item("b.jpg", False, "2-2"),
    Item("c.mp4", True, ""),
    Item("d.jpg", False, ""),
    Item("e.jpg", False, ""),
    Item("f.jpg", False, ""),
]
SETTINGS = {"det_threshold": 0.5, "shard_size": 2}


def test_shards_hold_some_images_or_one_video() -> None:
    shards = [[item.path[0] for _, item in shard] for shard in cut(ITEMS, 2)]
    assert shards == [["a", "b"], ["c"], ["d", "e"], ["f"]]
    assert [number for shard in cut(ITEMS, 4) for number, _ in shard] == list(range(6))
    assert list(cut([], 2)) == []


def test_a_job_is_read_as_it_was_begun(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "out")
    assert open_job(layout, ITEMS, SETTINGS) == 4
    assert [read_shard(layout, shard) for shard in range(4)] == list(cut(ITEMS, 2))


def test_the_same_job_is_continued_in_the_order_of_its_begin(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    open_job(layout, ITEMS, SETTINGS)
    assert open_job(layout, ITEMS[::-1], SETTINGS) == 4
    assert read_shard(layout, 0) == [(0, ITEMS[0]), (1, ITEMS[1])]


@pytest.mark.parametrize(
    ("items", "settings", "reason"),
    [
        ([*ITEMS, Item("g.jpg", False, "")], SETTINGS, "1 new, such as 'g.jpg'"),
        (ITEMS[2:], SETTINGS, "2 gone, such as 'a.jpg'"),
        ([replace(ITEMS[0], version="1-2"), *ITEMS[1:]], SETTINGS, "1 changed, such as 'a.jpg'"),
        (
            ITEMS,
            {**SETTINGS, "det_threshold": None},
            "begun with det_threshold=0.5, now it is None",
        ),
        (ITEMS, {**SETTINGS, "shard_size": 3}, "begun with shard_size=2, now it is 3"),
    ],
)
def test_another_job_is_refused(
    tmp_path: Path, items: list[Item], settings: dict[str, object], reason: str
) -> None:
    open_job(Layout(tmp_path), ITEMS, SETTINGS)
    with pytest.raises(ConfigError, match=reason):
        open_job(Layout(tmp_path), items, settings)


def test_results_without_their_job_are_not_overwritten(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.poses.mkdir()
    layout.part(0).touch()
    with pytest.raises(ConfigError, match=r"job\.json is missing"):
        open_job(layout, ITEMS, SETTINGS)


def test_a_begin_that_was_killed_is_begun_again(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    open_job(layout, ITEMS, SETTINGS)
    layout.job.unlink()
    (layout.job.parent / ".tritonpose-abcd.tmp").touch()
    assert open_job(layout, ITEMS[:1], SETTINGS) == 1
    assert sorted(path.name for path in layout.job.parent.iterdir()) == [
        "inputs.parquet",
        "job.json",
    ]


def test_keys_are_never_shown(tmp_path: Path) -> None:
    options = JobOptions(url="grpcs://a:1", connection={"api_key": "secret-key"})
    task = Task(Layout(tmp_path), tmp_path, PipelineConfig(), options, name="job")
    assert task.options.connection == {"api_key": "secret-key"}
    assert "secret-key" not in f"{options} {task} {options!r} {task!r}"
