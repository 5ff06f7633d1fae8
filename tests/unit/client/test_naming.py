"""Where results are saved."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from poses import people
from tritonpose import InputError, KeypointResult
from tritonpose._requests import result_of, unreadable_result
from tritonpose.inputs import expand_inputs, load_source
from tritonpose.saving import as_text
from videos import gray_frames, write_video

PIXELS = np.full((40, 60, 3), (10, 20, 200), dtype=np.uint8)
PNG = cv2.imencode(".png", PIXELS)[1].tobytes()


def save_results(inputs: object, target: Path) -> list[str]:
    """Saves made-up results of all inputs, and lists the files below the target."""
    for source in expand_inputs(inputs):
        for image in load_source(source):
            result_of(image, people(1)).save_all(target)
    return files_below(target)


def files_below(directory: Path) -> list[str]:
    files = (file for file in directory.rglob("*") if file.is_file())
    return sorted(str(file.relative_to(directory)) for file in files)


@pytest.mark.parametrize(
    ("path", "target", "expected"),
    [
        ("dir/photo.jpg", "new/out", ["new/out/photo_res.jpg", "new/out/photo_res.json"]),
        ("photo.JPEG", ".", ["photo_res.JPEG", "photo_res.json"]),
        ("photo.webp", ".", ["photo_res.json", "photo_res.webp"]),
        ("two.dots.png", ".", ["two.dots_res.json", "two.dots_res.png"]),
        ("photo", ".", ["photo_res.json", "photo_res.png"]),
        ("photo.sr", ".", ["photo_res.json", "photo_res.png"]),
        ("https://host/a/photo.jpg", ".", ["photo_res.jpg", "photo_res.json"]),
        ("HTTP://host/photo.webp?size=2#top", ".", ["photo_res.json", "photo_res.webp"]),
        ("http://host/h%C3%B6he%20x.png", ".", ["höhe x_res.json", "höhe x_res.png"]),
        ("http://host/snapshot.cgi?file=/a/b.jpg", ".", ["snapshot_res.json", "snapshot_res.png"]),
        ("http://host/..%2F..%2Fetc%2Fpasswd", ".", ["_._res.json", "_._res.png"]),
        ("http://host/%2e%2e", ".", ["image_res.json", "image_res.png"]),
        ("http://host/a%00b%3A%22c.jpg", ".", ["a_b__c_res.jpg", "a_b__c_res.json"]),
        ("http://host/photos/", ".", ["photos_res.json", "photos_res.png"]),
        ("http://me:secret@host:80", ".", ["host_80_res.json", "host_80_res.png"]),
        (
            f"http://host/{'%C3%A4' * 300}.jpg",
            ".",
            [f"{'ä' * 75}_res.{s}" for s in ("jpg", "json")],
        ),
    ],
)
def test_names_of_saved_files(tmp_path: Path, path: str, target: str, expected: list[str]) -> None:
    KeypointResult(path, PNG).save_all(str(tmp_path / target))
    assert files_below(tmp_path) == expected


def test_files_named_by_the_caller(tmp_path: Path) -> None:
    result = KeypointResult("dir/photo.png", PNG, saved_as="dir/photo.png")
    result.save_to_json(tmp_path / "deep" / "a.json", indent=1)
    result.save_to_img(str(tmp_path / "deep" / "b.bmp"))
    assert files_below(tmp_path) == ["deep/a.json", "deep/b.bmp"]
    assert (tmp_path / "deep" / "a.json").read_text().startswith('{\n "input_path"')
    with Image.open(tmp_path / "deep" / "b.bmp") as image:
        assert image.format == "BMP"


def test_pages_are_saved_apart(tmp_path: Path) -> None:
    cv2.imwritemulti(str(tmp_path / "scan.tif"), [PIXELS, 255 - PIXELS])
    names = ["scan_0_res.json", "scan_0_res.tif", "scan_1_res.json", "scan_1_res.tif"]
    assert save_results(tmp_path / "scan.tif", tmp_path / "out") == names


def test_frames_are_saved_apart(tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.avi", gray_frames(11))
    names = save_results([video], tmp_path / "out")
    assert names == [
        f"clip_frame{number:06d}_res.{suffix}" for number in range(11) for suffix in ("jpg", "json")
    ]
    saved = json.loads((tmp_path / "out" / "clip_frame000010_res.json").read_text())
    assert (saved["input_path"], saved["frame_index"]) == (str(video), 10)
    with Image.open(tmp_path / "out" / "clip_frame000010_res.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (64, 48))


@pytest.mark.parametrize(
    ("images", "video", "inputs", "expected"),
    [
        (
            ["x.jpg", "a/x.jpg", "b/c/x.jpg"],
            "b/clip.mp4",
            ["."],
            "a/x_res.jpg b/c/x_res.jpg b/clip_frame000000_res.jpg x_res.jpg",
        ),
        # Subdirectories count from the directory that was given.
        (["a/x.jpg", "b/y.jpg"], None, ["a", "b"], "x_res.jpg y_res.jpg"),
        # Files that differ in their suffix alone keep it.
        (
            ["x.jpg", "x.png", "y.jpg", "sub/x.jpg", "z.jpg"],
            "z.avi",
            ["."],
            "sub/x_res.jpg x.jpg_res.jpg x.png_res.png y_res.jpg z_frame000000_res.jpg z_res.jpg",
        ),
    ],
)
def test_names_in_directories(
    tmp_path: Path, images: list[str], video: str | None, inputs: list[str], expected: str
) -> None:
    for name in images:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "in" / name), PIXELS)
    if video is not None:
        write_video(tmp_path / "in" / video, gray_frames(1))
    pictures = expected.split()
    names = [*pictures, *(f"{picture.rpartition('.')[0]}.json" for picture in pictures)]
    directories = [f"{tmp_path}/in/{name}/" for name in inputs]
    assert save_results(directories, tmp_path / "out") == sorted(names)


def test_errors_are_saved_where_results_would_be(tmp_path: Path) -> None:
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "a" / "x.jpg").touch()
    (source,) = expand_inputs(tmp_path / "in")
    with pytest.raises(InputError, match=r"x\.jpg' is empty"):
        load_source(source)
    unreadable_result(source, InputError("it is empty")).save_to_json(tmp_path / "out")
    saved = json.loads((tmp_path / "out" / "a" / "x_res.json").read_text())
    assert saved["input_path"] == str(tmp_path / "in" / "a" / "x.jpg")
    assert saved["error"] == "InputError: it is empty"


def test_names_that_are_no_text_are_shown_where_only_text_is_allowed() -> None:
    path = b"\xd0\xd0/caf\xe9.jpg".decode(errors="surrogateescape")
    assert as_text(path) == r"\xd0\xd0/caf\xe9.jpg"
    assert as_text("行人.jpg\ud83d") == r"行人.jpg\ud83d"


def test_names_that_are_no_text_are_saved(tmp_path: Path) -> None:
    path = b"caf\xe9.jpg".decode(errors="surrogateescape")
    KeypointResult(path, PNG).save_to_json(tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["input_path"] == path


def test_results_without_a_path_never_overwrite_each_other(tmp_path: Path) -> None:
    results = [KeypointResult(None, PIXELS) for _ in range(200)]
    for result in results:
        result.save_to_json(tmp_path)
    results[0].save_to_json(tmp_path)
    assert len(files_below(tmp_path)) == 200
