"""Taking models out of archives, honest and other ones."""

import gzip
import hashlib
import io
import random
import tarfile
import tracemalloc
import warnings

import pytest

from npm_fakes import entry
from tritonpose_server.models.fetch.archive import ArchiveError, unpack_model

YML = b"Global: {}\n"
JSON = b'{"program": {}}'
PARAMS = random.Random(0).randbytes(10000)
MODEL = {"inference.yml": YML, "inference.json": JSON, "inference.pdiparams": PARAMS}


def write(path, contents, mode="w"):
    """A tar file; contents are names, or entries as they are, with data."""
    with tarfile.open(path, mode) as tar:
        for item, data in contents:
            info = entry(item) if isinstance(item, str) else item
            if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE):
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def inside(folder, contents=MODEL):
    return [(f"{folder}{name}", data) for name, data in contents.items()]


def unpack(archive, **limits):
    directory = archive.parent / "out"
    directory.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return unpack_model(archive, directory, **limits)


def unpacked(archive):
    return {path.name: path.read_bytes() for path in (archive.parent / "out").iterdir()}


def outside(tmp_path):
    """What lies beside the archive and the output directory."""
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    return {name for name in names if not name.startswith(("model.tar", "out"))}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
@pytest.mark.parametrize("folder", ["", "./", "PP-TinyPose_128x96_infer/", "./x/"])
def test_a_model_is_taken_from_the_top_or_one_folder(tmp_path, mode, folder):
    archive = write(tmp_path / "model.tar", inside(folder), mode)
    digests = unpack(archive)
    assert unpacked(archive) == MODEL
    assert digests == {name: hashlib.sha256(data).hexdigest() for name, data in MODEL.items()}


def test_only_the_files_of_a_model_are_taken(tmp_path):
    others = [
        (entry("x", type=tarfile.DIRTYPE), b""),
        ("x/README.md", b"read me"),
        ("x/._inference.yml", b"of a Mac"),
        ("x/deeper/inference.onnx", b"not at the top"),
        (entry("x/inference.onnx", type=tarfile.DIRTYPE), b""),
    ]
    archive = write(tmp_path / "model.tar", others + inside("x/"))
    unpack(archive)
    assert unpacked(archive) == MODEL


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("../inference.onnx", "unsafe path '../inference.onnx': do not use it"),
        ("x/../../inference.onnx", "unsafe path"),
        ("x/..", "unsafe path"),
        ("/inference.onnx", "unsafe path"),
        ("/tmp/other", "unsafe path"),
        (entry("inference.onnx", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "is a link or"),
        (entry("inference.onnx", type=tarfile.LNKTYPE, linkname="inference.yml"), "is a link or"),
        (entry("other", type=tarfile.SYMTYPE, linkname="."), "'other' .* is a link or"),
        (entry("inference.onnx", type=tarfile.CHRTYPE), "a special file"),
        (entry("other", type=tarfile.BLKTYPE), "a special file"),
        (entry("other", type=tarfile.FIFOTYPE), "a special file"),
        (entry("inference.onnx", type=tarfile.CONTTYPE), "a special file"),
        (
            entry("x", pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": "9"}),
            "a special file",
        ),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_suspicious_archives_are_refused(tmp_path, item, message, first):
    contents = [(item, b"x"), *inside("")] if first else [*inside(""), (item, b"x")]
    with pytest.raises(ArchiveError, match=message):
        unpack(write(tmp_path / "model.tar", contents))
    assert outside(tmp_path) == set()


@pytest.mark.parametrize(
    "contents",
    [
        [*inside(""), ("inference.yml", b"again")],
        [*inside("x/"), ("./x/inference.yml", b"again")],
        [*inside("x/"), ("y/inference.onnx", b"of another")],
        [*inside("x/"), ("inference.onnx", b"at the top")],
    ],
)
def test_one_archive_holds_one_model(tmp_path, contents):
    with pytest.raises(ArchiveError, match="more than one model"):
        unpack(write(tmp_path / "model.tar", contents))


SIZE = sum(map(len, MODEL.values())) + 1000


@pytest.mark.parametrize(
    ("limit", "most", "words"), [("max_bytes", SIZE, "bytes"), ("max_members", 5, "members")]
)
def test_members_that_are_ignored_count_as_well(tmp_path, limit, most, words):
    contents = [*inside(""), ("a", bytes(1000)), ("b", b"")]
    archive = write(tmp_path / "model.tar", contents, "w:gz")
    with pytest.raises(ArchiveError, match=f"more than the {most - 1} {words} allowed"):
        unpack(archive, **{limit: most - 1})
    (tmp_path / "out").rename(tmp_path / "out-1")
    unpack(archive, **{limit: most})


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        # A bomb, found without unpacking it.
        ([entry("inference.pdiparams", size=8 << 30)], f"more than the {2 << 30} bytes allowed"),
        # A size that leads back to its own header, again and again.
        ([entry("first"), entry("other", size=-512)], r"bytes allowed|is damaged"),
        *(
            ([entry("././@LongLink", type=tarfile.GNUTYPE_LONGNAME, size=size)], "is damaged")
            for size in (1 << 50, 1 << 70)
        ),
    ],
)
def test_sizes_that_lie(tmp_path, headers, message):
    archive = tmp_path / "model.tar"
    data = b"".join(header.tobuf(tarfile.GNU_FORMAT) for header in headers)
    archive.write_bytes(data + bytes(1024))
    with pytest.raises(ArchiveError, match=message):
        unpack(archive)
    assert not unpacked(archive).keys() & MODEL.keys()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_no_archive_that_was_cut_short_is_accepted(tmp_path, mode):
    data = write(tmp_path / "whole", inside("x/"), mode).read_bytes()
    # Of a plain tar, all that follows the first block of its end mark is padding.
    end = len(data) if mode != "w" else len(data.rstrip(b"\0")) // 512 * 512 + 512
    for number, size in enumerate({0, 1, 511, 512, 1024, *range(0, end, end // 40), end - 1}):
        (tmp_path / str(number)).mkdir()
        archive = tmp_path / str(number) / "model.tar"
        archive.write_bytes(data[:size])
        with pytest.raises(ArchiveError, match=r"is damaged or cut short .*: fetch it again"):
            unpack(archive)


@pytest.mark.parametrize("mode", ["w:gz", "w:xz"])
def test_damage_to_a_compressed_archive_is_found(tmp_path, mode):
    data = write(tmp_path / "whole", inside("x/"), mode).read_bytes()
    for number, position in enumerate(range(20, len(data) - 8, 37)):
        (tmp_path / str(number)).mkdir()
        archive = tmp_path / str(number) / "model.tar"
        archive.write_bytes(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :])
        with pytest.raises(ArchiveError):
            unpack(archive)


def damaged_header(data):
    position = data.index(b"inference.json")
    return data[:position] + b"I" + data[position + 1 :]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        # Not taken for the end.
        (damaged_header, "its end is missing"),
        (lambda data: data + bytes(2 << 20), "something comes after its end"),
        (lambda _: b"<!DOCTYPE html><html>log in</html>" * 99, "does not begin like a tar file"),
    ],
)
def test_files_that_are_no_whole_archive(tmp_path, spoil, message):
    archive = write(tmp_path / "model.tar", inside(""))
    archive.write_bytes(spoil(archive.read_bytes()))
    with pytest.raises(ArchiveError, match=message):
        unpack(archive)


@pytest.mark.parametrize(
    ("names", "complete"),
    [
        ("yml json pdiparams", True),
        ("yml pdmodel pdiparams", True),
        ("yml onnx", True),
        ("yml json pdmodel onnx pdiparams", True),
        ("", False),
        ("yml", False),
        ("onnx", False),
        ("json pdiparams", False),
        ("yml json", False),
        ("yml pdiparams", False),
        ("yml json pdmodel", False),
    ],
)
def test_what_a_model_needs(tmp_path, names, complete):
    names = [f"inference.{suffix}" for suffix in names.split()]
    archive = write(tmp_path / "model.tar", [(name, b"x") for name in [*names, "other"]])
    if complete:
        assert sorted(unpack(archive)) == sorted(names)
        return
    only = ", ".join(sorted(names)) or "none of its files"
    with pytest.raises(ArchiveError, match=f"no complete model, only {only}: needed are inference"):
        unpack(archive)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_headers_are_not_read_whatever_their_size(tmp_path, kind):
    """A few kilobytes would become hundreds of megabytes of memory."""
    archive = tmp_path / "model.tar"
    with gzip.open(archive, "wb") as file:
        file.write(entry("././@Header", type=kind, size=8 << 20).tobuf(tarfile.GNU_FORMAT))
        file.write(bytes(8 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError, match="a header of 8388608 bytes is more than any"):
            unpack(archive)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_headers_without_end(tmp_path):
    archive = tmp_path / "model.tar"
    header = entry("././@PaxHeader", type=tarfile.XHDTYPE, size=512).tobuf(tarfile.GNU_FORMAT)
    record = b"11 a=bcdef\n".ljust(512, b"\0")
    archive.write_bytes((header + record) * 2000)
    with pytest.raises(ArchiveError):
        unpack(archive)
