"""Which images and videos inputs mean, and in what order."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from pathlib import Path

import fsspec
import pytest

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
    return [item.path for item in list_items(inputs, print)]


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


def test_a_pattern_means_what_the_shell_makes_of_it(folder: Path) -> None:
    (folder / "photos" / "list.txt").write_text("b.jpg\nx/y.png\n")
    assert paths("photos/*.txt") == ["photos/b.jpg", "photos/x/y.png"]
    (folder / "photos.txt").mkdir()
    (folder / "photos.txt" / "z.jpg").touch()
    assert paths("photos.txt") == ["photos.txt/z.jpg"]


def test_what_is_passed_over_is_counted(folder: Path) -> None:
    photos = folder / "photos"
    (photos / "._b.jpg").write_bytes(b"\0\5\x16\7")
    (photos / "link").symlink_to(folder / "elsewhere", target_is_directory=True)
    (folder / "elsewhere").mkdir()
    os.mkfifo(photos / "pipe.jpg")
    with (photos / "huge.jpg").open("wb") as huge:
        huge.truncate(2**28 + 1)
    (photos / "gone.jpg").symlink_to("nowhere")
    found: Counter[str] = Counter()
    items = list_items(["photos"], print, found)
    assert [item.path.removeprefix("photos/") for item in items] == [
        *("a.png", "b.jpg", "deep/c.webp"),
        # Becomes a row with an error.
        "gone.jpg",
    ]
    assert found == {
        "files that macOS keeps beside others (._x.jpg)": 1,
        "links to directories": 1,
        "pipes and devices": 1,
        "images of more than 256 MiB": 1,
        "files of other kinds": 2,
    }
    (folder / "elsewhere" / "link").symlink_to(photos, target_is_directory=True)
    with pytest.raises(InputError, match="'elsewhere' or below: links to directories: 1"):
        list_items(["elsewhere"], print)


def test_names_that_are_no_utf_8(folder: Path) -> None:
    name = os.fsdecode(b"\xd0\xd0\xc8\xcb.jpg")
    (folder / "photos" / name).touch()
    assert f"photos/{name}" in paths("photos")


def test_what_would_block_is_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "clip.mp4")
    (item,) = list_items(["clip.mp4"], print)
    assert not item.video


def test_urls_are_left_to_the_client() -> None:
    (item,) = list_items(["https://example.com/*.jpg"], print)
    assert (item.path, item.video, item.version) == ("https://example.com/*.jpg", False, "")


def test_videos_are_known_by_their_content(folder: Path) -> None:
    write_video(folder / "clip.avi", gray_frames(2))
    (folder / "clip.avi").rename(folder / "clip")
    assert [item.video for item in list_items(["clip", "photos/a.png"], print)] == [True, False]


def test_the_version_tells_changes(folder: Path) -> None:
    (before,) = list_items(["photos/a.png"], print)
    assert list_items(["photos/a.png"], print) == [before]
    os.utime(folder / "photos/a.png", (1, 1))
    assert list_items(["photos/a.png"], print) != [before]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("photoz", "photoz"),
        ("photos/*.gif", r"\*.gif"),
        ("memory://nowhere/a.jpg", "a.jpg"),
        ("empty", "no images or videos in the directory 'empty'"),
        ("carrier-pigeon://loft/a.jpg", "carrier-pigeon"),
        ("none.csv", "no such file or directory, and no match: 'none.csv'"),
        ("memory://none.csv", "can't read the list 'memory://none.csv'"),
    ],
)
def test_inputs_that_mean_nothing(folder: Path, name: str, reason: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=reason):
        list_items(["photos", name], print)


def test_object_stores() -> None:
    store = fsspec.filesystem("memory")
    for name in ("b.jpg", "a.mp4", "deep/c.png", "readme.md"):
        store.pipe(f"/bucket/{name}", b"content")
    items = list_items(["memory://bucket"], print)
    assert [item.path for item in items] == [
        f"memory:///bucket/{name}" for name in ("a.mp4", "b.jpg", "deep/c.png")
    ]
    assert [item.video for item in items] == [True, False, False]
    assert all(item.version.startswith("7-") for item in items)
    assert paths("memory://bucket/*.jpg") == ["memory:///bucket/b.jpg"]
    assert paths("memory://bucket/b.jpg") == ["memory:///bucket/b.jpg"]


def test_addresses_of_files_are_paths(folder: Path) -> None:
    path = folder / "photos" / "a b[1].jpg"
    path.touch()
    for address in (f"file://{path}", path.as_uri(), f"file://localhost{path}"):
        assert paths(address) == [str(path)]
        (folder / "list.txt").write_text(f"{address}\n")
        assert paths(str(folder / "list.txt")) == [str(path)]
    assert paths(f"file://{folder}/photos/[ab].*") == [
        f"{folder}/photos/{name}" for name in ("a.png", "b.jpg")
    ]


def test_brackets_in_names_of_stores() -> None:
    with fsspec.open("memory://brackets/a[1].jpg", "wb") as file:
        file.write(b"content")
    assert paths("memory://brackets/a[1].jpg") == ["memory:///brackets/a[1].jpg"]


def test_images_in_an_archive(folder: Path) -> None:
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        for name in ("in/b.jpg", "in/a.jpg"):
            archive.writestr(name, b"content")
    chain = f"::{folder}/photos.zip"
    found = [f"zip://in/{name}{chain}" for name in ("a.jpg", "b.jpg")]
    assert paths(f"zip://in/*.jpg{chain}") == found
    assert paths(f"zip://in{chain}") == found
