"""What encoded image files say of themselves, read before OpenCV sees them.

The first bytes of a file show its format, whatever its name says, and its header its size.
Of PNG and WebP, only what the still picture needs reaches the decoder: OpenCV 4.11 allocates
whatever length a PNG chunk claims, its reader of animated PNGs crashes on frames larger than the
picture, and what it makes of a damaged animated WebP depends on what its memory held before.

Sources: ITU-T T.81 (JPEG), ISO/IEC 15948 (PNG), RFC 9649 (WebP: 2.7 ``VP8X``, 2.7.1.1 ``ANMF``),
BITMAPINFOHEADER (BMP).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

SUPPORTED_FORMATS = "JPEG, PNG, WebP or BMP"

# Segments before a JPEG's frame header; real files have a dozen.
_MAX_JPEG_SEGMENTS = 10_000

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_END_OF_HEADER = frozenset({0xD9, 0xDA})

# Chunks of a PNG or WebP; real files have some thousands.
_MAX_CHUNKS = 100_000

# PNG chunks that change the pixels OpenCV returns: the picture itself, transparency of palettes,
# orientation.
_PNG_NEEDED = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf"})
_PNG_SIGNATURE_LENGTH = 8

_WEBP_FIRST_CHUNK = 12
_WEBP_ANIMATED = 0x02
_WEBP_FRAME_HEADER_LENGTH = 16


class ImageHeader(NamedTuple):
    """What an encoded image claims to be.

    Attributes:
        width: In pixels, before EXIF orientation.
        height: In pixels, before EXIF orientation.
        scans: Passes over the whole image that its decoding takes.
    """

    width: int
    height: int
    scans: int = 1


class FirstFrame(NamedTuple):
    """The first frame of an animated WebP, to be put on a black canvas.

    Attributes:
        file: A still WebP file; transparency is left out.
        x: Where its left edge is on the canvas.
        y: Where its upper edge is on the canvas.
    """

    file: bytes
    x: int
    y: int


def identify_format(head: bytes) -> str | None:
    """Name the supported image format that a file beginning with ``head`` has, if any.

    Args:
        head: At least the first 16 bytes of the file.

    Returns:
        ``"JPEG"``, ``"PNG"``, ``"WebP"``, ``"BMP"`` or None.
    """
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    # With the header chunk: without one, OpenCV trusts any length it finds there.
    if head.startswith(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"):
        return "PNG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head.startswith(b"BM"):
        return "BMP"
    return None


def describe_content(data: bytes) -> str:
    """Describe what bytes in no supported format seem to be.

    Args:
        data: The bytes.

    Returns:
        A noun phrase for an error message.
    """
    head = data[:512]
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "a GIF file"
    if head[:4] in (b"II*\x00", b"MM\x00*"):
        return "a TIFF file"
    if head[4:8] == b"ftyp":
        return "an ISO media file (HEIC, AVIF or video)"
    if head.startswith(b"%PDF"):
        return "a PDF file"
    if head.startswith(b"PK\x03\x04"):
        return "a ZIP archive"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:5].lower().startswith((b"<svg", b"<?xml", b"<html", b"<!doc")):
        return "markup text (SVG, XML or HTML)"
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head) and any(b < 128 for b in head):
        return f"text, beginning with {text[:24].decode('utf-8', 'replace')!r}"
    return f"{len(data)} bytes of an unknown format, beginning with {head[:8].hex(' ')}"


def read_header(data: bytes, name: str) -> ImageHeader | None:
    """Read the size of an encoded image.

    Args:
        data: The file's bytes.
        name: Its format as `identify_format` names it.

    Returns:
        The header, None where it is cut off or garbled.
    """
    try:
        header = _READERS[name](data)
    except (struct.error, IndexError, ValueError):
        return None
    return header if header and header.width > 0 and header.height > 0 else None


def still_png(data: bytes) -> bytes | None:
    """Drop the chunks of a PNG that its still picture does not need.

    Args:
        data: The file's bytes, beginning with the PNG signature.

    Returns:
        A PNG file of the same picture (the same object where nothing is dropped), None where a
        chunk reaches beyond the end, there are absurdly many, or none has a picture.
    """
    needed: list[tuple[int, int]] = []
    kinds = set()
    at = _PNG_SIGNATURE_LENGTH
    for _ in range(_MAX_CHUNKS):
        kind = data[at + 4 : at + 8]
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if len(kind) < 4 or end > len(data):
            return None
        if kind in _PNG_NEEDED:
            needed.append((at, end))
        kinds.add(kind)
        at = end
        if kind == b"IEND":
            break
    else:
        return None
    # Without a picture, OpenCV would go on reading after the end.
    if b"IDAT" not in kinds:
        return None
    if kinds <= _PNG_NEEDED and at == len(data):
        return data
    view = memoryview(data)
    return b"".join([view[:_PNG_SIGNATURE_LENGTH], *(view[start:stop] for start, stop in needed)])


def is_animated_webp(data: bytes) -> bool:
    """Check whether a WebP file says that it is an animation."""
    return data[12:16] == b"VP8X" and len(data) > 20 and bool(data[20] & _WEBP_ANIMATED)


def first_webp_frame(data: bytes, canvas: ImageHeader) -> FirstFrame | None:
    """Take the first frame out of an animated WebP.

    Args:
        data: The file's bytes.
        canvas: Its header.

    Returns:
        The frame; None where there is none, it reaches beyond the canvas or the end of the file,
        or its picture has another size than it claims.
    """
    start, end = next(
        (
            (start, end)
            for kind, start, end in _webp_chunks(data, _WEBP_FIRST_CHUNK)
            if kind == b"ANMF"
        ),
        (0, 0),
    )
    if end - start < _WEBP_FRAME_HEADER_LENGTH:
        return None
    # Offsets are in units of two pixels, sizes less one.
    x, y = (2 * int.from_bytes(data[start + at : start + at + 3], "little") for at in (0, 3))
    size = tuple(int.from_bytes(data[start + at : start + at + 3], "little") + 1 for at in (6, 9))
    for kind, body, stop in _webp_chunks(data[:end], start + _WEBP_FRAME_HEADER_LENGTH):
        if kind in (b"VP8 ", b"VP8L"):
            chunk = data[body - 8 : stop] + bytes((stop - body) % 2)
            file = b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk
            picture = read_header(file, "WebP")
            fits = x + size[0] <= canvas.width and y + size[1] <= canvas.height
            return FirstFrame(file, x, y) if fits and picture and picture[:2] == size else None
    return None


def _read_png(data: bytes) -> ImageHeader:
    return ImageHeader(*struct.unpack_from(">II", data, 16))


def _read_bmp(data: bytes) -> ImageHeader:
    (size,) = struct.unpack_from("<I", data, 14)
    if size == 12:
        return ImageHeader(*struct.unpack_from("<HH", data, 18))
    width, height = struct.unpack_from("<ii", data, 18)
    # A negative height means rows from top to bottom.
    return ImageHeader(width, abs(height))


def _read_webp(data: bytes) -> ImageHeader | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return ImageHeader(*(int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27)))
    if kind == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 21)
        return ImageHeader((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return ImageHeader(width & 0x3FFF, height & 0x3FFF)
    return None


def _read_jpeg(data: bytes) -> ImageHeader | None:
    at = 2
    for _ in range(_MAX_JPEG_SEGMENTS):
        at = data.index(b"\xff", at)
        while data[at] == 0xFF:
            at += 1
        marker = data[at]
        at += 1
        # A zero is not a marker but escapes 0xFF within data.
        if marker == 0 or marker in _JPEG_WITHOUT_LENGTH:
            continue
        if marker in _JPEG_END_OF_HEADER:
            return None
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 3)
            return ImageHeader(width, height, max(data.count(b"\xff\xda", at), 1))
        at += struct.unpack_from(">H", data, at)[0]
    return None


def _webp_chunks(data: bytes, at: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of the contents of chunks, as far as they are whole."""
    for _ in range(_MAX_CHUNKS):
        start = at + 8
        end = start + int.from_bytes(data[at + 4 : start], "little")
        if end > len(data) or start > len(data):
            return
        yield data[at : at + 4], start, end
        # Contents of odd length are padded.
        at = end + (end - start) % 2


_READERS = {"JPEG": _read_jpeg, "PNG": _read_png, "WebP": _read_webp, "BMP": _read_bmp}
