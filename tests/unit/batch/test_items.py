"""Which images and videos inputs mean, and in what order."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from pyarrow import parquet

from tritonpose import InputError
from tritonpose_batch.items import list_items
from videos import gray_frames, write_video


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("b.jpg", "a.png", "deep/c.webp", "notes.md", "data.json"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content")
    return tmp_path


def paths(*inputs: str) -> list[str]:
    return [item.path for item in list_items(inputs)]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (["photos"], ["photos/a.png", "photos/b.jpg", "photos/deep/c.webp"]),
        (
            ["photos/*.*"],
            [f"photos/{x}" for x in ("a.png", "b.jpg", "data.json", "notes.md")],
        ),
        (["photos/**/*.webp"], ["photos/deep/c.webp"]),
        (["a[1].jpg"], ["a[1].jpg"]),
        (
            ["photos/b.jpg", "photos", "photos/b.jpg"],
            ["photos/b.jpg", "photos/a.png", "photos/deep/c.webp"],
        ),
    ],
    ids=["directory", "pattern", "deep pattern", "name that is a pattern", "each path once"],
)
def test_paths_and_their_order(folder: Path, inputs: list[str], expected: list[str]) -> None:
    (folder / "a[1].jpg").touch()
    assert paths(*inputs) == expected


def test_urls_are_left_to_the_client() -> None:
    (item,) = list_items(["https://example.com/*.jpg"])
    assert (item.path, item.video, item.version) == ("https://example.com/*.jpg", False, "")


def test_videos_are_known_by_their_content(folder: Path) -> None:
    write_video(folder / "clip.avi", gray_frames(2))
    (folder / "clip.avi").rename(folder / "clip")
    assert [item.video for item in list_items(["clip", "photos/a.png"])] == [True, False]


def test_the_version_tells_changes(folder: Path) -> None:
    (before,) = list_items(["photos/a.png"])
    assert list_items(["photos/a.png"]) == [before]
    os.utime(folder / "photos/a.png", (1, 1))
    assert list_items(["photos/a.png"]) != [before]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("photoz", "photoz"),
        ("photos/*.gif", r"\*.gif"),
        ("memory://nowhere/a.jpg", "a.jpg"),
        ("empty", "no images or videos in the directory 'empty'"),
        ("carrier-pigeon://loft/a.jpg", "carrier-pigeon"),
        ("none.csv", r"can't read the list 'none\.csv'"),
    ],
)
def test_inputs_that_mean_nothing(folder: Path, name: str, reason: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=reason):
        list_items(["photos", name])


def test_object_stores() -> None:
    store = fsspec.filesystem("memory")
    for name in ("b.jpg", "a.mp4", "deep/c.png", "readme.md"):
        store.pipe(f"/bucket/{name}", b"content")
    items = list_items(["memory://bucket"])
    assert [item.path for item in items] == [
        f"memory:///bucket/{name}" for name in ("a.mp4", "b.jpg", "deep/c.png")
    ]
    assert [item.video for item in items] == [True, False, False]
    assert all(item.version.startswith("7-") for item in items)
    assert paths("memory://bucket/*.jpg") == ["memory:///bucket/b.jpg"]
    assert paths("memory://bucket/b.jpg") == ["memory:///bucket/b.jpg"]


def test_images_in_an_archive(folder: Path) -> None:
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        for name in ("in/b.jpg", "in/a.jpg"):
            archive.writestr(name, b"content")
    chain = f"::{folder}/photos.zip"
    found = [f"zip://in/{name}{chain}" for name in ("a.jpg", "b.jpg")]
    assert paths(f"zip://in/*.jpg{chain}") == found
    assert paths(f"zip://in{chain}") == found


@pytest.mark.parametrize("suffix", ["txt", "csv", "jsonl", "parquet"])
def test_lists(folder: Path, suffix: str) -> None:
    listed = ["b.jpg", "missing.jpg", "https://example.com/c.jpg", "s3://bucket/d.mp4"]
    path = folder / "photos" / f"list.{suffix}"
    match suffix:
        case "txt":
            path.write_text("\n".join(listed) + "\n\n")
        case "csv":
            path.write_text("label,path\n" + "".join(f"x,{name}\n" for name in listed))
        case "jsonl":
            path.write_text("".join(f'{{"label": 1, "url": "{name}"}}\n' for name in listed))
        case _:
            parquet.write_table(pa.table({"image": listed}), path)
    items = list_items([f"photos/list.{suffix}"])
    assert [item.path for item in items] == [
        "photos/b.jpg",
        "photos/missing.jpg",
        *listed[2:],
    ]
    assert [item.version != "" for item in items] == [True, False, False, False]
    assert [item.video for item in items] == [False, False, False, True]


def test_a_list_in_an_object_store() -> None:
    fsspec.filesystem("memory").pipe("/lists/all.txt", b"memory://bucket/b.jpg\n/photos/a.jpg\n")
    assert paths("memory://lists/all.txt") == ["memory://bucket/b.jpg", "/photos/a.jpg"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", "x,y\n1,2\n", "has the columns x, y; expected one of path, url, address"),
        ("a.csv", "path,y\na.jpg,2\n,3\n", "row 2 of the list .* has no address"),
        ("a.jsonl", "{", "can't read the list"),
        ("a.parquet", "no parquet", "can't read the list"),
    ],
)
def test_broken_lists(folder: Path, name: str, content: str, reason: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(InputError, match=reason):
        list_items([name])
