"""Photos: what the page shows of them, and what can be taken away."""

from __future__ import annotations

import base64
import json
import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from browser import Visit
from tritonpose import HumanKeypointPipeline
from tritonpose_pipeline.keypoint_schema import COLORS, default_schema


def turned_by_exif(photo: Path, directory: Path) -> Path:
    """The same photo from a camera held on its side."""
    path = directory / "on_its_side.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise
    with Image.open(photo) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)
    return path


def found(client: HumanKeypointPipeline, photo: Path, threshold: float = 0.5) -> list[Any]:
    (result,) = client.predict(photo, det_threshold=threshold)
    return list(result["boxes"])


def lone_joints(person: NDArray[np.float32], distance: float) -> list[int]:
    """Visible joints that have no other joint of the person within a distance in pixels."""
    gaps = np.linalg.norm(person[:, None, :2] - person[None, :, :2], axis=2)
    return [
        joint
        for joint in range(len(person))
        if person[joint, 2] >= 0.1 and np.sort(gaps[joint])[1] > distance
    ]


@pytest.mark.parametrize("on_its_side", [False, True])
def test_joints_are_where_the_client_finds_them(
    visit: Callable[..., Visit],
    photo: Path,
    client: HumanKeypointPipeline,
    tmp_path: Path,
    on_its_side: bool,
) -> None:
    path = turned_by_exif(photo, tmp_path) if on_its_side else photo
    opened = visit()
    opened.choose(path)
    opened.wait_for_answer()
    boxes = found(client, path)
    assert boxes
    assert opened.persons().count() == len(boxes)
    for number, box in enumerate(boxes, 1):
        joints = lone_joints(box["keypoints"], distance=6)
        assert len(joints) >= 10
        for joint in joints:
            x, y, score = map(float, box["keypoints"][joint])
            opened.page.mouse.move(*opened.on_screen(x, y))
            name = default_schema(17).names[joint].replace("_", " ")
            assert opened.tip() == (
                f"{name} {score:.2f} person {number}: "
                f"detection {box['det_score']:.2f}, keypoints {box['kpt_score']:.2f}"
            )


def test_saves_what_the_service_answers_at_the_threshold(
    visit: Callable[..., Visit], photo: Path, client: HumanKeypointPipeline, tmp_path: Path
) -> None:
    opened = visit()
    opened.choose(photo)
    opened.wait_for_answer()
    opened.page.get_by_label("Detection score above").fill("0.3")
    with opened.page.expect_download() as download:
        opened.page.get_by_role("button", name="JSON").click()
    assert download.value.suggested_filename == "sample_res.json"
    download.value.save_as(tmp_path / "saved.json")
    persons = json.loads((tmp_path / "saved.json").read_text())["persons"]
    boxes = found(client, photo, 0.3)
    assert len(persons) == len(boxes) >= 2
    for person, box in zip(persons, boxes, strict=True):
        np.testing.assert_allclose(person["bbox"], box["coordinate"], rtol=1e-6)
        np.testing.assert_allclose(person["kpts"], box["keypoints"], rtol=1e-6)
        assert math.isclose(person["detScore"], box["det_score"], rel_tol=1e-6)
        assert math.isclose(person["kptScore"], box["kpt_score"], rel_tol=1e-6)


def test_saves_the_picture_at_its_size_with_joints_in_their_colors(
    visit: Callable[..., Visit], photo: Path, client: HumanKeypointPipeline, tmp_path: Path
) -> None:
    opened = visit()
    opened.choose(photo)
    opened.wait_for_answer()
    opened.persons().first.click()  # what is highlighted on screen is not in the file
    with opened.page.expect_download() as download:
        opened.page.get_by_role("button", name="Picture (PNG)").click()
    assert download.value.suggested_filename == "sample_res.png"
    download.value.save_as(tmp_path / "saved.png")
    saved = np.asarray(Image.open(tmp_path / "saved.png").convert("RGB"), dtype=int)
    original = np.asarray(Image.open(photo), dtype=int)
    assert saved.shape == original.shape
    (box,) = found(client, photo)
    # Decoders of JPEG differ in a few levels.
    changed = np.abs(saved - original).max(axis=2) > 16
    left, top, right, bottom = (round(float(side)) for side in box["coordinate"])
    around = np.ones_like(changed)
    around[max(top - 40, 0) : bottom + 40, max(left - 40, 0) : right + 40] = False
    assert changed.any()
    assert not changed[around].any()
    for joint in lone_joints(box["keypoints"], distance=16):
        x, y, _ = box["keypoints"][joint]
        color = COLORS[joint]
        assert np.abs(saved[int(y), int(x)] - color).max() <= 8, default_schema(17).names[joint]


def test_the_command_does_the_same(
    visit: Callable[..., Visit], photo: Path, client: HumanKeypointPipeline, tmp_path: Path
) -> None:
    path = Path(shutil.copy(photo, tmp_path / "it's a photo.jpg"))
    opened = visit(permissions=["clipboard-read", "clipboard-write"])
    opened.choose(path)
    opened.wait_for_answer()
    opened.page.get_by_label("Detection score above").fill("0.3")
    opened.page.get_by_role("button", name="Copy").click()
    opened.page.get_by_text("Copied.").wait_for()
    command = opened.page.evaluate("navigator.clipboard.readText()")
    run = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert run.stderr == ""
    answer = json.loads(run.stdout)
    assert answer["errorCode"] == 0
    assert len(answer["result"]["persons"]) == len(found(client, photo, 0.3))


HAND_OVER = """([base64, kind]) => {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], "handed_over.jpg", { type: "image/jpeg" }));
    const event = kind === "paste"
        ? new ClipboardEvent(kind, { clipboardData: transfer, bubbles: true, cancelable: true })
        : new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true });
    document.body.dispatchEvent(event);
}"""


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_photos_can_be_dropped_and_pasted(
    visit: Callable[..., Visit], photo: Path, client: HumanKeypointPipeline, kind: str
) -> None:
    opened = visit()
    opened.page.evaluate(HAND_OVER, [base64.b64encode(photo.read_bytes()).decode(), kind])
    opened.wait_for_answer()
    assert opened.persons().count() == len(found(client, photo))
    assert "'handed_over.jpg'" in opened.page.get_by_label("curl command").inner_text()
    # A pasted picture is in no file that the command could read.
    assert opened.page.get_by_role("button", name="Save handed_over.jpg").is_visible() == (
        kind == "paste"
    )


def test_a_file_name_is_no_markup(visit: Callable[..., Visit], photo: Path) -> None:
    name = "<img src=x onerror=alert(1)>.jpg"
    opened = visit()
    opened.page.get_by_label("Photo or video").set_input_files(
        {"name": name, "mimeType": "image/jpeg", "buffer": photo.read_bytes()}
    )
    opened.wait_for_answer()
    assert opened.page.locator("#needsText").inner_text().startswith(f"It reads {name} ")
    assert opened.page.locator("img[src=x]").count() == 0


def test_the_next_photo_replaces_one_that_is_still_being_asked_for(
    visit: Callable[..., Visit], photo: Path, tmp_path: Path
) -> None:
    nobody = tmp_path / "nobody.png"
    Image.new("RGB", (64, 48), "gray").save(nobody)
    opened = visit()
    opened.choose(photo)
    opened.choose(nobody)
    opened.wait_for_answer()
    opened.page.get_by_text("Nobody was found.").wait_for()
    assert "64 \N{MULTIPLICATION SIGN} 48 pixels" in opened.page.locator("#status").inner_text()
