"""The progress bar, and who sees it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest

from terminal import Terminal
from tritonpose.cli.output import Output, count_images, write_results
from tritonpose.cli.progress import ProgressBar
from tritonpose.result import KeypointResult

NAMES = [f"{number}.jpg" for number in range(3)]


def show(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, names: list[str]) -> str:
    monkeypatch.setattr("sys.stderr", stream)
    image = np.zeros((8, 8, 3), np.uint8)
    assert write_results([KeypointResult(name, image) for name in NAMES], Output(), names) == 0
    return stream.getvalue()


def test_a_terminal_shows_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = show(monkeypatch, Terminal(), NAMES)
    assert "100%" in shown
    assert "3/3" in shown


def test_the_length_of_a_video_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = show(monkeypatch, Terminal(), ["clip.mp4"])
    assert "3image" in shown
    assert "%" not in shown


@pytest.mark.parametrize(
    ("stream", "names"), [(Terminal(), ["0.jpg"]), (io.StringIO(), NAMES)], ids=["one", "file"]
)
def test_no_bar(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, names: list[str]) -> None:
    assert show(monkeypatch, stream, names).startswith("[tritonpose] 0 people in 3 images, ")


def test_no_bar_without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert show(monkeypatch, Terminal(), NAMES).startswith("[tritonpose] 0 people in 3 images, ")


def test_a_continued_job_begins_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    with ProgressBar() as bar:
        bar.show(60, 100, errors=2)
        with bar.cleared():
            print("a line", file=stream)
        bar.show(100, 100, errors=3)
    text = stream.getvalue()
    assert "60/100" in text
    assert "a line" in text.replace("\r", "\n").splitlines()
    assert "100/100" in text
    assert "errors=3" in text


@pytest.mark.parametrize(
    ("inputs", "count"),
    [
        (["a.jpg"], 1),
        (["a.jpg", "missing.png", "https://example.com/clip.mp4"], 3),
        (["photos"], 3),
        (["photos", "a.jpg"], 4),
        (["empty"], 0),
        (["clip.mp4"], None),
        (["a.jpg", "films"], None),
        (["/dev/stdin"], None),
    ],
)
def test_counting(
    inputs: list[str], count: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("photos/1.jpg", "photos/2.PNG", "photos/below/3.webp", "photos/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "clip.mov").touch()
    monkeypatch.chdir(tmp_path)
    assert count_images(inputs)[0] == count
