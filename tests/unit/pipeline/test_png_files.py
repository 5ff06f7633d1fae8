"""What of a PNG reaches the decoder."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from tritonpose_pipeline.file_formats.png import still_png

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 40, 3)).astype(np.uint8)
PNG = cv2.imencode(".png", PIXELS)[1].tobytes()
HEADER = PNG[:33]  # signature and IHDR


def chunk(kind: bytes, content: bytes = b"", length: int | None = None) -> bytes:
    size = len(content) if length is None else length
    crc = zlib.crc32(kind + content)
    return struct.pack(">I", size) + kind + content + struct.pack(">I", crc)


def test_a_plain_file_is_passed_on_as_it_is() -> None:
    assert still_png(PNG) is PNG
    assert still_png(PNG + b"junk") == PNG


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"tEXt", b"Comment\0hello"),
        chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10_000_000))),
        chunk(b"gAMA", struct.pack(">I", 20_000)),
        chunk(b"eXIf", b"MM\0*"),
        chunk(b"acTL", struct.pack(">II", 2, 0)),
        # OpenCV 4.11 crashes on such a frame.
        chunk(b"acTL", struct.pack(">II", 2, 0))
        + chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 50_000, 50_000, 0, 0, 1, 1, 0, 0)),
    ],
    ids=["text", "compressed text", "gamma", "orientation", "animation", "frame of another size"],
)
def test_what_the_picture_can_do_without_is_dropped(extra: bytes) -> None:
    assert still_png(HEADER + extra + PNG[33:]) == PNG


@pytest.mark.parametrize("kind", [b"tRNS", b"PLTE"])
def test_what_changes_the_picture_is_kept(kind: bytes) -> None:
    extra = chunk(kind, bytes(6))
    dropped = chunk(b"tIME", bytes(7))
    kept = HEADER + extra + PNG[33:]
    assert still_png(HEADER + extra + dropped + PNG[33:]) == kept


@pytest.mark.parametrize("length", [0x7FFFFFFF, 1_500_000_000, len(PNG)])
@pytest.mark.parametrize("kind", [b"tEXt", b"IDAT", b"eXIf"])
def test_a_chunk_beyond_the_end_gives_nothing(kind: bytes, length: int) -> None:
    # OpenCV 4.11 would allocate what the chunk claims.
    assert still_png(HEADER + chunk(kind, b"abc", length) + PNG[33:]) is None


def test_a_file_cut_or_without_a_picture_gives_nothing() -> None:
    assert [n for n in range(8, len(PNG)) if still_png(PNG[:n]) is not None] == []
    # OpenCV 4.11 would take what follows the end for a chunk, and allocate what it claims.
    assert still_png(HEADER + chunk(b"IEND") + b"\x7f\xff\xff\xfftEXt") is None
    assert still_png(HEADER + chunk(b"tEXt") * 200_000 + PNG[33:]) is None
