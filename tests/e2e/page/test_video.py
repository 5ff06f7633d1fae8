"""Videos dropped on the page: people walk through a photo that the camera pans over."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from browser import Visit
from videos import write_video

DROP = """([base64, name, type]) => {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, { type }));
    const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
    document.body.dispatchEvent(new DragEvent("drop", options));
}"""

WIDTH, HEIGHT = 640, 360
FRAMES = 30


@pytest.fixture(scope="module")
def clip(photo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds in which the view pans over the sample photo."""
    image = cv2.resize(cv2.imread(str(photo)), (800, 450))
    frames = [
        np.ascontiguousarray(image[45 : 45 + HEIGHT, 4 * step : 4 * step + WIDTH])
        for step in range(FRAMES)
    ]
    path = tmp_path_factory.mktemp("clip") / "clip.webm"
    return write_video(path, frames, codec="libvpx", codec_options={"deadline": "realtime"})


def drop(opened: Visit, path: Path, kind: str = "video/webm") -> None:
    encoded = base64.b64encode(path.read_bytes()).decode()
    opened.page.evaluate(DROP, [encoded, path.name, kind])


def test_a_video_plays_with_skeletons(visit: Callable[..., Visit], clip: Path) -> None:
    opened = visit()
    drop(opened, clip)
    page = opened.page
    page.get_by_role("button", name="Play", exact=True).wait_for()
    # It has come to its end.
    opened.pause_until(lambda: page.locator("#clock").inner_text() == "0:03 of 0:03")
    page.get_by_role("button", name="Play", exact=True).wait_for()
    opened.pause_until(lambda: len(opened.told) == opened.sent > 5)
    assert opened.error_shown() == ""
    assert opened.streams == 1
    assert opened.most_unanswered <= 2
    results = [each["result"] for each in opened.told]
    # Where it has stopped, that frame is shown.
    assert results[-1]["time"] == pytest.approx(3, abs=0.15)
    known = [ids for ids in opened.ids() if ids]
    assert len(known) > 5
    assert {ids[0] for ids in known[1:]} == {1}
    # The camera pans to the right, so the person goes to the left.
    lefts = [each["persons"][0]["bbox"][0] for each in results if each["persons"]]
    assert lefts[-1] < lefts[0] - 30
    assert page.get_by_role("img", name="clip_").is_visible()
    assert "640 \N{MULTIPLICATION SIGN} 360 pixels" in page.locator("#status").inner_text()
    # What is highlighted and saved is of the frame shown.
    x, y, _ = results[-1]["persons"][0]["kpts"][0]
    box = page.locator(".frame").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + x * box["width"] / WIDTH, box["y"] + y * box["height"] / HEIGHT)
    assert "person 1" in opened.tip()


def test_pause_and_another_position(visit: Callable[..., Visit], clip: Path) -> None:
    opened = visit()
    drop(opened, clip)
    page = opened.page
    page.get_by_role("button", name="Pause").click()
    opened.pause_until(lambda: len(opened.told) == opened.sent > 0)
    page.wait_for_timeout(300)
    sent = opened.sent
    assert len(opened.told) == sent
    slider = page.get_by_label("Position in the video")

    def answered(more_than: int) -> bool:
        return len(opened.told) == opened.sent > more_than

    for position in (2.5, 0.5):
        resets = sum(said.get("reset", False) for said in opened.said)
        slider.fill(str(position))
        opened.pause_until(partial(answered, sent))
        sent = opened.sent
        assert opened.told[-1]["result"]["time"] == pytest.approx(position, abs=0.15)
        assert sum(said.get("reset", False) for said in opened.said) == resets + 1
    assert opened.ids()[-1][:1] == [1]
    page.get_by_role("button", name="Play", exact=True).click()
    opened.pause_until(lambda: opened.sent >= sent + 3)


def test_another_picture_ends_the_video(
    visit: Callable[..., Visit], clip: Path, photo: Path
) -> None:
    opened = visit()
    drop(opened, clip)
    opened.pause_until(lambda: len(opened.told) >= 2)
    opened.choose(photo)
    opened.pause_until(lambda: bool(opened.asked))
    opened.wait_for_answer()
    assert not opened.page.locator("#player").is_visible()
    assert opened.page.locator("video").count() == 0
    assert opened.page.get_by_role("img", name="sample.jpg, 1 person shown").is_visible()


def test_a_file_that_is_no_video_is_told(visit: Callable[..., Visit], tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"nothing")
    opened = visit()
    drop(opened, path, "video/mp4")
    assert opened.error().startswith("“broken.mp4” cannot be played by this browser.")
    assert opened.streams == 0
