"""What `predict` accepts, and what it says of what it doesn't."""

import itertools
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tritonpose import InputError
from tritonpose.inputs import FileInput, decode_source, expand_inputs, load_source, path_of

IMAGE = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)


def encoded(suffix: str) -> bytes:
    return cv2.imencode(suffix, IMAGE)[1].tobytes()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".ppm"])
def test_formats_of_the_server_are_sent_as_they_are_and_others_decoded(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / "photo.anything"
    path.write_bytes(encoded(suffix))
    (image,) = load_source(str(path))
    assert (image.input_path, image.page_index) == (str(path), None)
    assert image.is_page == (suffix in (".tiff", ".ppm"))
    if image.is_page:
        np.testing.assert_array_equal(decode_source(image.source, None), IMAGE)
    else:
        assert image.source == encoded(suffix)


def test_pages_of_a_tiff_are_images_of_their_own(tmp_path: Path) -> None:
    path = str(tmp_path / "pages.tif")
    assert cv2.imwritemulti(path, [IMAGE, 255 - IMAGE])
    first, second = load_source(path)
    np.testing.assert_array_equal(decode_source(first.source, path), IMAGE)
    np.testing.assert_array_equal(decode_source(second.source, path), 255 - IMAGE)
    assert (first.page_index, second.page_index) == (0, 1)


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photo.jpg", b"")


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("empty.jpg", lambda path: path.write_bytes(b""), "is empty"),
        ("text.jpg", lambda path: path.write_text("héllo, not a photo"), "looks like text"),
        ("long.jpg", lambda path: path.write_text("ü" * 1500 + "."), "looks like text"),
        ("bmw.bmp2", lambda path: path.write_bytes(b"\0\1\2\3" * 9), "bytes of an unknown format"),
        ("zip.jpg", zipped, "a ZIP archive"),
        ("doc.jpg", lambda path: path.write_bytes(b"%PDF-1.7\n"), "a PDF file"),
        ("lfs.jpg", lambda path: path.write_text("version https://git-lfs.github.com/"), "LFS"),
        ("page.jpg", lambda path: path.write_text("\n<!DOCTYPE html><html>"), "markup text"),
        ("clip.jpg", lambda path: path.write_bytes(b"\0\0\0\x18ftypisom" + bytes(20)), ".mp4"),
        ("cut.tif", lambda path: path.write_bytes(encoded(".tiff")[:12]), "a TIFF file"),
        ("missing.jpg", Path.exists, "no such file"),
        ("folder", lambda path: path.mkdir(), "no images in the directory"),
        ("clip.mp4", lambda path: path.write_bytes(b"whatever"), "can't be decoded as a video"),
        ("gone.mp4", Path.exists, "no such file"),
    ],
)
def test_what_is_no_image_is_described(
    tmp_path: Path, name: str, make: Callable[[Path], object], words: str
) -> None:
    path = tmp_path / name
    make(path)
    (source,) = expand_inputs(path)
    with pytest.raises(InputError) as caught:
        load_source(source)
    assert words in str(caught.value)
    assert name in str(caught.value)
    assert caught.value.input == str(path)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (IMAGE[..., 0], "COLOR_GRAY2BGR"),
        (IMAGE[..., :1], "COLOR_GRAY2BGR"),
        (np.zeros((6, 8, 4), np.uint8), "COLOR_BGRA2BGR"),
        (np.zeros((2, 6, 8, 3), np.uint8), "list(images)"),
        (
            IMAGE.astype(np.float32),
            "float32: an image is (height, width, 3), uint8, BGR; convert val",
        ),
        (IMAGE.astype(np.float32), "values of 0 to 255 with image.round().clip(0, 255).astype"),
        (np.array([[[0, 0.5, np.nan]]]), "values of 0 to 1 with (255 * image).round()"),
        (np.zeros((0, 8, 3), np.uint8), "this one has no pixels"),
        (np.zeros((2, 2, 3), ">u2"), "image >> 8"),
        (np.zeros(9, np.uint8), "array.tobytes()"),
        (np.zeros((8, 6, 5), np.uint8), "(8, 6, 5)"),
    ],
)
def test_arrays_that_are_no_images(frame: np.ndarray, words: str) -> None:
    with pytest.raises(InputError) as caught:
        load_source(frame)
    assert words in str(caught.value)
    assert caught.value.input is frame


@pytest.mark.parametrize(
    ("source", "word"),
    [
        (b"bytes", "looks like text"),
        (None, "NoneType"),
        (3, "int"),
        ({"a.jpg": 1}, "dict"),
        ("a\0b", "null"),
        ("", "the path is empty"),
    ],
)
def test_what_can_be_no_input_is_refused(source: object, word: str) -> None:
    (item,) = expand_inputs(source)
    with pytest.raises(InputError, match=word):
        load_source(item)


def test_a_file_may_bring_its_own_way_to_be_read() -> None:
    data = cv2.imencode(".png", np.zeros((4, 6, 3), np.uint8))[1].tobytes()
    (image,) = load_source(FileInput("store://a.png", read=lambda: data))
    assert (image.input_path, image.source) == ("store://a.png", data)
    with pytest.raises(InputError, match=r"'store://a\.png' looks like text"):
        load_source(FileInput("store://a.png", read=lambda: b"gone"))


def test_directories_give_their_images_sorted(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "notes.txt", "sub/c.webp", "A/z.tif", "jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    expected = [str(tmp_path / name) for name in ("A/z.tif", "a.jpg", "b.PNG", "sub/c.webp")]
    assert [path_of(item) for item in expand_inputs(tmp_path)] == expected
    items = expand_inputs([f"{tmp_path}/", "x.jpg"])
    assert [path_of(item) for item in items] == [*expected, "x.jpg"]


@pytest.mark.parametrize(
    "inputs",
    [
        ["a.jpg", Path("b.jpg")],
        ("a.jpg", ["b.jpg"]),
        iter(["a.jpg", ("b.jpg",)]),
        (name for name in ("a.jpg", "b.jpg")),
        {"a.jpg": 0, "b.jpg": 0}.keys(),
    ],
)
def test_collections_are_flattened(inputs: object) -> None:
    assert list(expand_inputs(inputs)) == ["a.jpg", "b.jpg"]


def test_endless_inputs_are_read_one_at_a_time() -> None:
    numbers = itertools.count()
    items = expand_inputs(f"{number}.jpg" for number in numbers)
    assert [next(items), next(items)] == ["0.jpg", "1.jpg"]
    assert next(numbers) == 2


def test_arrays_are_copied_when_taken() -> None:
    buffer = IMAGE.copy()
    (frame,) = expand_inputs([buffer])
    buffer[:] = 0
    (image,) = load_source(frame)
    np.testing.assert_array_equal(image.source, IMAGE)


def test_images_that_a_directory_may_hide_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").touch()
    (tmp_path / "in" / "._a.png").write_bytes(b"\0\5\x16\7")
    (tmp_path / "in" / "link").symlink_to(tmp_path, target_is_directory=True)
    assert len(list(expand_inputs(tmp_path / "in"))) == 1
    assert "in': passed over: links to directories: 1" in caplog.text
