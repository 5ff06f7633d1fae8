"""Whether a video file is shorter than its container says."""

from pathlib import Path

import pytest

from tritonpose.inputs.containers import is_cut_short


def box(kind: bytes, content: int) -> bytes:
    return (8 + content).to_bytes(4, "big") + kind + bytes(content)


def large_box(kind: bytes, content: int) -> bytes:
    return (1).to_bytes(4, "big") + kind + (16 + content).to_bytes(8, "big") + bytes(content)


def riff(content: int, size: int | None = None) -> bytes:
    size = 4 + content if size is None else size
    return b"RIFF" + size.to_bytes(4, "little") + b"AVI " + bytes(content)


EBML = b"\x1a\x45\xdf\xa3\x83" + bytes(3)
SEGMENT = b"\x18\x53\x80\x67"

WHOLE = {
    "mp4": box(b"ftyp", 16) + box(b"moov", 90) + box(b"mdat", 200),
    "mov without ftyp": box(b"moov", 90) + box(b"mdat", 200),
    "large mp4": box(b"ftyp", 16) + large_box(b"mdat", 200),
    "fragmented mp4": box(b"ftyp", 16) + 9 * (box(b"moof", 30) + box(b"mdat", 99)),
    "avi": riff(200),
    "large avi": riff(200) + b"RIFF" + (150).to_bytes(4, "little") + b"AVIX" + bytes(146),
    "mkv, 1-byte size": EBML + SEGMENT + b"\xe4" + bytes(100),
    "mkv, 2-byte size": EBML + SEGMENT + b"\x40\xc8" + bytes(200),
    "mkv, 8-byte size": EBML + SEGMENT + b"\x01" + (200).to_bytes(7, "big") + bytes(200),
}
# Files that don't say where they end.
OPEN = {
    "mp4, last box to the end": box(b"ftyp", 16) + bytes(4) + b"mdat" + bytes(200),
    "mp4 with something appended": box(b"ftyp", 16) + b"\x7f\xff\xff\xffABCD" + bytes(9),
    "avi never finished": riff(200, 0),
    "mkv of a stream": EBML + SEGMENT + b"\x01" + b"\xff" * 7 + bytes(200),
    "mpeg": b"\0\0\x01\xba" + bytes(200),
    "empty": b"",
}


@pytest.mark.parametrize("kind", WHOLE)
def test_the_last_byte_counts(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "video"
    path.write_bytes(WHOLE[kind])
    assert not is_cut_short(str(path))
    for missing in (1, 90):
        path.write_bytes(WHOLE[kind][:-missing])
        assert is_cut_short(str(path))


@pytest.mark.parametrize("kind", OPEN)
def test_files_that_do_not_say(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "video"
    path.write_bytes(OPEN[kind])
    assert not is_cut_short(str(path))


def test_a_missing_file_is_not_cut_short(tmp_path: Path) -> None:
    assert not is_cut_short(str(tmp_path / "gone.mp4"))
