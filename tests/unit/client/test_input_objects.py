"""Inputs that are no paths: bytes, open files, Pillow images, columns of tables, addresses."""

import base64
import io
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import fsspec
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from file_server import Route, file_server
from tritonpose import InputError
from tritonpose.inputs import ImageInput, expand_inputs, load_source
from videos import gray_frames, number_of, write_video

IMAGE = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
PNG = cv2.imencode(".png", IMAGE)[1].tobytes()


def images_of(inputs: object) -> list[ImageInput]:
    return [image for item in expand_inputs(inputs) for image in load_source(item)]


def error_of(inputs: object) -> str:
    (item,) = expand_inputs(inputs)
    with pytest.raises(InputError) as caught:
        load_source(item)
    return str(caught.value)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO])
def test_an_encoded_file_in_memory(kind: Callable[[bytes], object]) -> None:
    (image,) = images_of(kind(PNG))
    assert (image.input_path, image.source) == (None, PNG)


def test_bytes_are_copied_when_taken() -> None:
    buffer = bytearray(PNG)
    (item,) = expand_inputs([buffer])
    buffer[:] = bytes(len(buffer))
    assert load_source(item)[0].source == PNG


def test_an_open_file_is_read_from_its_beginning_and_left_open(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(PNG)
    with path.open("rb") as file:
        file.seek(0, 2)
        (image,) = images_of([file])
        assert (image.input_path, image.source) == (str(path), PNG)
        assert not file.closed
    assert "closed file" in error_of([file])


def test_files_that_cannot_be_sought_in() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("photo.png", PNG)
    with zipfile.ZipFile(packed) as archive, archive.open("photo.png") as member:
        assert images_of([member])[0].source == PNG
    with file_server() as files:
        url = files.add("/photo.png", Route(PNG))
        with urllib.request.urlopen(url) as answer:
            assert images_of([answer])[0].source == PNG


@pytest.mark.parametrize("seekable", [True, False])
@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_video_in_an_open_file(tmp_path: Path, suffix: str, seekable: bool) -> None:
    content = write_video(tmp_path / f"clip{suffix}", gray_frames(5)).read_bytes()
    file = io.BytesIO(content)
    file.seekable = lambda: seekable  # type: ignore[method-assign]
    images = images_of(file)
    assert [image.frame_index for image in images] == list(range(5))
    assert [number_of(np.asarray(image.source)) for image in images] == list(range(5))
    assert {image.input_path for image in images} == {None}


@pytest.mark.parametrize("source", [io.StringIO("text"), Path(__file__)])
def test_text_files_are_refused(source: Any) -> None:
    if isinstance(source, Path):
        with source.open() as file:
            assert "mode 'rb'" in error_of(file)
    else:
        assert "mode 'rb'" in error_of(source)


def test_an_asynchronous_file_is_refused() -> None:
    class Upload:
        async def read(self, size: int) -> bytes:
            return bytes(size)

    assert "gives coroutine, not bytes" in error_of(Upload())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pillow_image_of_webp_is_not_turned(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "photo.webp"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(IMAGE[:, :, ::-1]).save(path, exif=exif, lossless=True)
    with Image.open(path) as picture:
        (image,) = images_of(picture)
    np.testing.assert_array_equal(image.source, IMAGE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pillow_image_is_what_its_file_is(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "photo.png"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(IMAGE[:, :, ::-1]).save(path, exif=exif)
    with Image.open(path) as picture:
        (image,) = images_of(picture)
        assert image.input_path == str(path)
        (copy,) = images_of(picture.copy())
        assert copy.input_path is None
    expected = cv2.imread(str(path))
    np.testing.assert_array_equal(image.source, expected)
    np.testing.assert_array_equal(copy.source, expected)


@pytest.mark.parametrize(
    ("picture", "pixel"),
    [
        (Image.new("L", (8, 6), 7), [7, 7, 7]),
        (Image.new("1", (8, 6), 1), [255, 255, 255]),
        (Image.new("RGBA", (8, 6), (1, 2, 3, 0)), [3, 2, 1]),
        (Image.new("LA", (8, 6), (9, 0)), [9, 9, 9]),
        (Image.new("RGB", (8, 6), (1, 2, 3)).quantize(), [3, 2, 1]),
        (Image.fromarray(np.full((6, 8), 0xABCD, np.uint16)), [0xAB] * 3),
    ],
)
def test_every_mode_of_pillow_images(picture: Image.Image, pixel: list[int]) -> None:
    (image,) = images_of(picture)
    source = np.asarray(image.source)
    assert (source.shape, source.dtype) == ((6, 8, 3), np.uint8)
    assert source[2, 3].tolist() == pixel


def test_old_versions_of_pillow_read_16_bits_as_mode_i() -> None:
    picture = Image.fromarray(np.full((6, 8), 0xABCD, np.int32))
    picture.format = "PNG"
    (image,) = images_of(picture)
    assert np.asarray(image.source)[2, 3].tolist() == [0xAB] * 3


def test_pillow_images_that_cannot_be_read(tmp_path: Path) -> None:
    assert "mode F" in error_of(Image.new("F", (8, 6)))
    # Of 8 bits, 16 or more: nothing says it.
    assert "mode I" in error_of(Image.new("L", (8, 6), 200).convert("I"))
    path = tmp_path / "cut.png"
    path.write_bytes(cv2.imencode(".png", gray_frames(1)[0])[1].tobytes()[:60])
    with Image.open(path) as picture:
        assert "can't read the Pillow image" in error_of(picture)


def test_columns_of_paths_are_flattened() -> None:
    paths = ["a.jpg", "b.jpg"]
    columns = (np.array(paths), np.array(paths, object), pd.Series(paths), pd.Index(paths))
    for column in (*columns, pd.Series(paths, dtype=object)):
        assert list(expand_inputs(column)) == paths


def test_paths_of_stores_are_to_be_opened() -> None:
    class StorePath:
        def __fspath__(self) -> str:
            raise NotImplementedError("it is in a store")

    assert "a StorePath is no path here: it is in a store" in error_of(StorePath())
    with fsspec.open("memory://photos/a.png", "wb") as file:
        file.write(PNG)
    unopened = fsspec.open("memory://photos/a.png", "rb")
    assert "a file open in mode 'rb'" in error_of(unopened)
    with unopened as file:
        assert images_of(file)[0].source == PNG


def test_temporary_files_that_do_not_say_whether_they_can_be_sought_in(tmp_path: Path) -> None:
    class Upload:
        """As of Python 3.10, which also lacks what `seek` returns."""

        def __init__(self, content: bytes) -> None:
            self._file = io.BytesIO(content)
            self._file.seek(0, 2)
            self.read, self.tell = self._file.read, self._file.tell

        def seek(self, offset: int, whence: int = 0) -> None:
            self._file.seek(offset, whence)

    assert images_of(Upload(PNG))[0].source == PNG
    clip = write_video(tmp_path / "clip.mp4", gray_frames(3)).read_bytes()
    assert [image.frame_index for image in images_of(Upload(clip))] == [0, 1, 2]


def test_tensors_of_other_libraries_are_to_be_converted() -> None:
    class Tensor:
        def __array__(self) -> np.ndarray:
            return IMAGE

    assert "type Tensor aren't supported: convert it to a NumPy array" in error_of(Tensor())


@pytest.mark.parametrize("name", ["a[1].jpg", "a b#c?d.jpg", "ä%20.jpg", "x%5B.jpg"])
def test_addresses_of_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PNG)
    for address in (path.as_uri(), f"file://{path}", f"FILE://localhost{path}", f"file:{path}"):
        (image,) = images_of(address)
        assert (image.input_path, image.source) == (str(path), PNG)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("rtsp://user@camera/1", "rtsp://camera/1' is the address of a live stream; "),
        ("s3://bucket/a.jpg", "`tritonpose batch` reads object stores"),
        ("ftp://host/a.jpg", "ftp:// addresses aren't read"),
        ("file://host/a.jpg", "of another machine"),
        (f"data:image/png;base64,{base64.b64encode(PNG).decode()}", "data: URLs aren't read"),
        (base64.b64encode(PNG * 100).decode(), "..."),
    ],
)
def test_what_is_not_fetched(address: str, words: str) -> None:
    error = error_of(address)
    assert words in error
    assert len(error) < 400
