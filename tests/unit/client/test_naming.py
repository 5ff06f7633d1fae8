"""Where results are saved."""

import json
import resource
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from stand_ins import Pipeline, StandIn
from tritonpose import ConfigError, InputError, KeypointResult
from tritonpose._requests import unreadable_result
from tritonpose.inputs import expand_inputs, load_source
from tritonpose.saving import TakenNames, as_text, fitting, saved_kind
from videos import gray_frames, write_video

PIXELS = np.full((40, 60, 3), (10, 20, 200), dtype=np.uint8)
PNG = cv2.imencode(".png", PIXELS)[1].tobytes()


def save_results(inputs: object, target: Path) -> list[str]:
    """Saves made-up results of all inputs, and lists the files below the target."""
    with Pipeline("sync", StandIn()) as pipeline:
        for result in pipeline.predict(inputs):
            result.save_all(target)
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
        ("http://host/..%2F..%2Fetc%2Fpasswd", ".", ["__res.json", "__res.png"]),
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


def claimed(*names: str) -> list[str]:
    """Names results, each written "name", "name#page" or "name@frame", and shows their stems."""
    taken = TakenNames()
    stems = []
    for name in names:
        path, _, page = name.partition("#")
        path, _, frame = path.partition("@")
        numbers = (int(page) if page else None, int(frame) if frame else None)
        claim = taken.claim(fitting(Path(path)), *numbers)
        stems.append(str(claim.with_suffix("")) if claim.suffix in (".jpg", ".tif") else str(claim))
    return stems


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("x.jpg x.jpg x.jpg", "x x_2 x_3"),
        ("x.jpg a/x.jpg", "x a/x"),
        ("x.jpg x_2.jpg x.tif", "x x_2 x_3"),
        ("x.jpg X.jpg", "x X_2"),
        ("stra\u00dfe.jpg STRASSE.jpg", "stra\u00dfe STRASSE_2"),
        ("caf\u00e9.jpg cafe\u0301.jpg CAFE\u0301.jpg", "caf\u00e9 cafe\u0301_2 CAFE\u0301_3"),
        ("x.tif#0 x.tif#1 x_1.jpg", "x_0 x_1 x_1_2"),
        ("x_1.jpg x.tif#0 x.tif#1", "x_1 x_0 x_1_2"),
        ("x.jpg@0 x.jpg@1 x.jpg", "x_frame000000 x_frame000001 x"),
        ("x.jpg@0 x.jpg@1 x.jpg@0", "x_frame000000 x_frame000001 x_2_frame000000"),
        ("x.jpg@3 x_frame000000.jpg", "x_frame000003 x_frame000000_2"),
        ("x_frame000007.jpg x.jpg@7", "x_frame000007 x_2_frame000007"),
        ("a.jpg@0 b.jpg@0 a.jpg@0", "a_frame000000 b_frame000000 a_2_frame000000"),
        ("x. x.jpg x.. x..jpg", "x x_2 x_3 x_4"),
        (".. ..jpg ...", "image image_2 image_3"),
    ],
)
def test_names_that_would_be_taken_twice_get_a_number(names: str, expected: str) -> None:
    assert claimed(*names.split()) == expected.split()


def test_inputs_of_one_name_keep_their_results(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "x.jpg"), PIXELS)
        write_video(tmp_path / folder / "clip.avi", gray_frames(2))
    inputs = [tmp_path / folder / name for folder in "ab" for name in ("x.jpg", "clip.avi")]
    inputs += [tmp_path / "missing" / "x.jpg"]
    with Pipeline("async", StandIn()) as pipeline:
        for result in pipeline.predict(inputs, on_error="collect"):
            result.save_to_json(tmp_path / "out")
    assert [name.removesuffix("_res.json") for name in files_below(tmp_path / "out")] == [
        *("clip_2_frame000000", "clip_2_frame000001", "clip_frame000000", "clip_frame000001"),
        *("x_2", "x_3", "x"),
    ]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_frames_of_sources_that_take_turns_keep_the_name_of_their_source(
    tmp_path: Path, kind: str
) -> None:
    videos = [tmp_path / folder / "clip.avi" for folder in "ab"]
    for video in videos:
        video.parent.mkdir()
        write_video(video, gray_frames(5))
    with Pipeline(kind, StandIn()) as pipeline:
        for result in pipeline.track([*videos, videos[0]]):
            result.save_to_json(tmp_path / "out")
    assert files_below(tmp_path / "out") == sorted(
        f"clip{number}_frame{frame:06d}_res.json"
        for number in ("", "_2", "_3")
        for frame in range(5)
    )


def test_a_name_as_long_as_file_systems_allow_is_cut(tmp_path: Path) -> None:
    path = f"{'ä' * 125}.jpg"
    KeypointResult(path, PNG).save_all(tmp_path)
    KeypointResult(path, PNG, frame_index=0).save_all(tmp_path)
    assert len(files_below(tmp_path)) == 4


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    # As a full disk does: no file may grow beyond this size.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    result = KeypointResult("x.jpg", PNG, [], error=InputError("x" * 5000))
    picture = KeypointResult("x.jpg", np.random.default_rng(0).integers(0, 255, (99, 99, 3), "u1"))
    (tmp_path / "x_res.json").write_text("before")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
        with pytest.raises(OSError, match="File too large"):
            result.save_to_json(tmp_path)
        with pytest.raises(OSError, match="File too large"):
            picture.save_to_img(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files_below(tmp_path) == ["x_res.json"]
    assert (tmp_path / "x_res.json").read_text() == "before"


def test_links_are_followed_and_permissions_usual(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "target.json")
    KeypointResult("x.jpg", PNG).save_to_json(tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    (tmp_path / "plain").touch()
    modes = {(tmp_path / name).stat().st_mode for name in ("plain", "target.json")}
    assert len(modes) == 1
    (tmp_path / "null.json").symlink_to("/dev/null")
    KeypointResult("x.jpg", PNG).save_to_json(tmp_path / "null.json")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    "name",
    [
        "out.mp4",
        "out.AVI",
        "out.txt",
        "out.csv",
        "out.pdf",
        "out.zip",
        "out.html",
        "a.mp3",
        "a.svg",
    ],
)
def test_files_of_another_kind_are_refused(name: str, tmp_path: Path) -> None:
    result = KeypointResult("x.jpg", PNG)
    for save in (result.save_to_json, result.save_to_img, result.save_all):
        with pytest.raises(ConfigError, match=r"saved as \.json or as a picture"):
            save(tmp_path / name)
    assert files_below(tmp_path) == []
    # As a directory it may exist, or be meant.
    assert saved_kind(f"{tmp_path}/{name}/") == "directory"
    (tmp_path / name).mkdir()
    assert saved_kind(tmp_path / name) == "directory"


def test_what_a_path_to_save_to_means() -> None:
    for name in ("out", "run.2024", "run_2024.1", "a.v2", ".hidden", "out/"):
        assert saved_kind(name) == "directory"
    assert saved_kind("a.JSON") == "json"
    assert saved_kind("a.webp") == saved_kind("a.gif") == "picture"
    with pytest.raises(ConfigError, match="is empty"):
        saved_kind("")
    with pytest.raises(ConfigError, match=r"isn't a name for a picture"):
        KeypointResult("x.jpg", PNG).save_to_img("a.json")
    with pytest.raises(ConfigError, match=r"isn't a name for JSON"):
        KeypointResult("x.jpg", PNG).save_to_json("a.png")


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


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    with Pipeline("sync", StandIn()) as pipeline:
        missing, found = pipeline.predict(["\ud800a\udcff.jpg", PIXELS], on_error="collect")
    assert isinstance(missing.error, InputError)
    assert found.error is None
    missing.save_to_json(tmp_path)
    assert files_below(tmp_path) == ["_a\udcff_res.json"]


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
