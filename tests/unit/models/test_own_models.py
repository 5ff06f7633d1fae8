"""Models of the user's own as files and archives."""

from __future__ import annotations

import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from npm_fakes import entry
from paddle_networks import inference_yml, keypoint_network, write_model_directory
from tritonpose_server.models.commands import default_lock, install
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.own_models import install_own_model
from tritonpose_server.models.store import ModelStore

Pack = Callable[[Path, Path, str], Path]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    return write_model_directory(
        folder, keypoint_network(32, 24), inference_yml("keypoint", 32, 24)
    )


def pack_tar(archive: Path, source: Path, folder: str = "") -> Path:
    mode = (
        "w:" + {".tar": "", ".gz": "gz", ".tgz": "gz", ".xz": "xz", ".bz2": "bz2"}[archive.suffix]
    )
    with tarfile.open(archive, mode) as tar:  # type: ignore[call-overload]
        for path in source.iterdir():
            tar.add(path, folder + path.name)
    return archive


def pack_zip(archive: Path, source: Path, folder: str = "") -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as pack:
        for path in source.iterdir():
            pack.write(path, folder + path.name)
    return archive


def pack(archive: Path, source: Path, folder: str = "") -> Path:
    return (pack_zip if archive.suffix.lower() == ".zip" else pack_tar)(archive, source, folder)


@pytest.mark.parametrize(
    "name",
    ["m.tar", "m.tar.gz", "m.tgz", "m.tar.xz", "m.tar.bz2", "m.zip", "M.ZIP"],
)
@pytest.mark.parametrize("folder", ["", "best_model/inference/"])
def test_archives(tmp_path: Path, store: ModelStore, source: Path, name: str, folder: str) -> None:
    (source / "README.md").write_text("anything")
    (source / "._inference.yml").write_text("of a Mac")
    archive = pack(tmp_path / name, source, folder)
    lines: list[str] = []
    model = install(str(archive), store, lines.append, default_lock())
    # As from the directory itself, but for where it came from.
    assert install(str(source), store, print, default_lock()) == model
    provenance = store.provenance(model.name)
    assert provenance is not None
    assert provenance["source"] == str(archive)


@pytest.mark.parametrize("name", ["inference.onnx", "../source/inference.onnx"])
def test_files(store: ModelStore, source: Path, name: str) -> None:
    model = install(str(source / name), store, print, default_lock(), name="mine")
    assert model == store.path("mine")
    (source / "inference.yml").unlink()
    with pytest.raises(ConversionError, match=r"inference\.yml is missing: it describes"):
        install(str(source / name), store, print, default_lock())
    with pytest.raises(ConversionError, match="no such model directory or file"):
        install("gone.onnx", store, print, default_lock())


@pytest.mark.parametrize("name", ["PP-TinyPose_128x96", "pp-tinypose_128X96", "NANODET_PERSON_416"])
def test_names_of_published_weights(store: ModelStore, source: Path, name: str) -> None:
    with pytest.raises(ConversionError, match="is the name of published weights"):
        install_own_model(source, None, store, name=name)


def test_options_are_for_models_of_ones_own(store: ModelStore) -> None:
    for options in ({"name": "x"}, {"classes": ("x",)}, {"flip_shift": False}):
        with pytest.raises(
            ConversionError, match=f"--{next(iter(options))} works only with a model"
        ):
            install("PP-TinyPose_128x96", store, print, default_lock(), **options)  # type: ignore[arg-type]


# Archives that hold something else


def test_what_is_wrong_with_the_model_in_an_archive(
    tmp_path: Path, store: ModelStore, source: Path
) -> None:
    archive = pack(tmp_path / "m.zip", source)
    with pytest.raises(ConversionError) as caught:
        install_own_model(archive, "detector", store)
    assert str(caught.value) == (
        f"{archive}: {archive} holds a keypoint model, but it is configured as detector model"
    )


def test_what_is_reported_of_the_model_in_an_archive(
    tmp_path: Path, store: ModelStore, source: Path
) -> None:
    (source / "inference.json").write_text('{"program": {}}')
    (source / "inference.pdiparams").touch()
    lines: list[str] = []
    install_own_model(pack(tmp_path / "m.zip", source), None, store, progress=lines.append)
    assert "using inference.onnx: inference.pdiparams is empty: copy or export the model again" in (
        lines
    )


@pytest.mark.parametrize("name", ["m.tar.gz", "m.zip"])
def test_none_or_several(tmp_path: Path, store: ModelStore, source: Path, name: str) -> None:
    twice = tmp_path / "twice"
    for folder in ("a", "b"):
        write_model_directory(twice / folder, keypoint_network(32, 24), {})
    with tarfile.open(tmp_path / "twice.tar", "w") as tar:
        tar.add(twice, "twice")
    with pytest.raises(ConversionError, match=r"more than one model \(twice/a, twice/b\)"):
        install_own_model(tmp_path / "twice.tar", None, store)
    (source / "inference.yml").unlink()
    with pytest.raises(ConversionError, match="the archive holds no model"):
        install_own_model(pack(tmp_path / name, source), None, store)
    with pytest.raises(ConversionError, match="there is no such archive"):
        install_own_model(tmp_path / "gone.zip", None, store)


def link(archive: Path) -> None:
    info = zipfile.ZipInfo("x/inference.onnx")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "w") as pack:
        pack.writestr(info, "/etc/passwd")


def named(name: str) -> Callable[[Path], None]:
    def write(archive: Path) -> None:
        with zipfile.ZipFile(archive, "w") as pack:
            pack.writestr(name, "x")

    return write


def many(archive: Path) -> None:
    with zipfile.ZipFile(archive, "w") as pack:
        for number in range(1001):
            pack.writestr(str(number), "")


def large(archive: Path) -> None:
    """A file that says to be 3 GB, in the table of contents."""
    named("inference.onnx")(archive)
    content = bytearray(archive.read_bytes())
    struct.pack_into("<I", content, content.rindex(b"PK\x01\x02") + 24, 3 << 30)
    archive.write_bytes(content)


def cut(archive: Path) -> None:
    named("inference.onnx")(archive)
    archive.write_bytes(archive.read_bytes()[:-30])


def locked(archive: Path) -> None:
    named("inference.yml")(archive)
    content = bytearray(archive.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.rindex(mark) + flags] |= 1
    archive.write_bytes(content)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (named("../inference.onnx"), "unsafe path"),
        (named("/inference.onnx"), "unsafe path"),
        (named("a\\..\\inference.onnx"), "unsafe path"),
        (link, "is a link or a special file"),
        (many, "more than the 1000 members"),
        (large, "bytes allowed"),
        (cut, "is damaged, cut short or encrypted"),
        (locked, "is damaged, cut short or encrypted"),
        (lambda archive: archive.write_bytes(b""), "is damaged, cut short"),
        (lambda archive: archive.write_bytes(os.urandom(1000)), "is damaged, cut short"),
    ],
)
def test_zip_files_that_are_not_unpacked(
    tmp_path: Path, store: ModelStore, write: Callable[[Path], None], words: str
) -> None:
    archive = tmp_path / "model.zip"
    write(archive)
    with pytest.raises(ConversionError, match=words):
        install_own_model(archive, None, store)
    assert store.names() == []


@pytest.mark.parametrize(
    ("name", "position"),
    # Checksums that come after the last byte of the model, and content.
    [("m.tar.gz", -8), ("m.tar.xz", -20), ("m.tar.bz2", -3), ("m.zip", 300), ("m.tar.bz2", 300)],
)
def test_damaged_archives(
    tmp_path: Path, store: ModelStore, source: Path, name: str, position: int
) -> None:
    archive = pack(tmp_path / name, source)
    content = bytearray(archive.read_bytes())
    content[position] ^= 1
    archive.write_bytes(content)
    with pytest.raises(ConversionError, match=r"is damaged, cut short or encrypted .* pack the"):
        install_own_model(archive, None, store)
    assert store.names() == []


@pytest.mark.parametrize(
    "item",
    [
        entry("x/../../inference.onnx"),
        entry("inference.onnx", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        entry("inference.onnx", type=tarfile.CHRTYPE),
    ],
)
def test_tar_files_that_are_not_unpacked(
    tmp_path: Path, store: ModelStore, item: tarfile.TarInfo
) -> None:
    archive = tmp_path / "model.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(item)
    with pytest.raises(ConversionError, match=r"unsafe path|is a link or a special file"):
        install_own_model(archive, None, store)
