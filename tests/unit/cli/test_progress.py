"""The progress bar, and who sees it."""

from __future__ import annotations

import builtins
import io
from pathlib import Path
from typing import Any

import pytest

from terminal import Terminal
from tritonpose.cli.progress import count_images, with_progress
from tritonpose.result import KeypointResult

RESULTS = [KeypointResult(f"{number}.jpg") for number in range(3)]
NAMES = [f"{number}.jpg" for number in range(3)]


def show(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, names: list[str]) -> str:
    monkeypatch.setattr("sys.stderr", stream)
    seen = []
    for result, clear_of_the_bar in with_progress(RESULTS, names):
        with clear_of_the_bar:
            seen.append(result)
    assert seen == RESULTS
    return stream.getvalue()


def test_a_terminal_shows_how_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = show(monkeypatch, Terminal(), NAMES)
    assert "100%" in shown
    assert "3/3" in shown


def test_of_a_video_the_end_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = show(monkeypatch, Terminal(), ["clip.mp4"])
    assert "3image" in shown
    assert "%" not in shown


def test_nothing_is_shown_of_one_image(monkeypatch: pytest.MonkeyPatch) -> None:
    assert show(monkeypatch, Terminal(), ["0.jpg"]) == ""


def test_nothing_is_shown_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert show(monkeypatch, io.StringIO(), NAMES) == ""


def test_nothing_is_shown_without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_tqdm(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "tqdm":
            raise ModuleNotFoundError("No module named 'tqdm'")
        return real_import(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_tqdm)
    assert show(monkeypatch, Terminal(), NAMES) == ""


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
    assert count_images(inputs) == count
