"""What encoded image files say of themselves, read before OpenCV sees them.

The first bytes of a file show its format, whatever its name says, and its header its size. Each
format has a module of its own.
"""

from __future__ import annotations

import codecs
import struct

from tritonpose_pipeline.file_formats.bmp import read_bmp
from tritonpose_pipeline.file_formats.header import ImageHeader
from tritonpose_pipeline.file_formats.jpeg import read_jpeg
from tritonpose_pipeline.file_formats.png import read_png
from tritonpose_pipeline.file_formats.pnm import read_pnm
from tritonpose_pipeline.file_formats.tiff import tiff_pages
from tritonpose_pipeline.file_formats.webp import read_webp

__all__ = [
    "SENT_FORMATS",
    "ImageHeader",
    "describe_content",
    "describe_known",
    "describe_text",
    "identify_format",
    "read_header",
]

SENT_FORMATS = ("JPEG", "PNG", "WebP", "BMP")
"""The formats that the server decodes; the client decodes TIFF and PNM itself."""

# What other files begin with. Sources: the formats' specifications, as in file(1)'s database.
_OTHERS: tuple[tuple[tuple[bytes, ...], str], ...] = (
    ((b"GIF87a", b"GIF89a"), "a GIF file"),
    ((b"\x00\x00\x00\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"), "a JPEG 2000 file"),
    ((b"\x00\x00\x00\x0cJXL \r\n\x87\n", b"\xff\x0a"), "a JPEG XL file"),
    ((b"\x76\x2f\x31\x01",), "an OpenEXR file"),
    ((b"#?RADIANCE", b"#?RGBE"), "a Radiance HDR file"),
    ((b"\x59\xa6\x6a\x95",), "a Sun raster file"),
    ((b"PF\n", b"Pf\n", b"PF\r", b"Pf\r", b"PF ", b"Pf "), "a PFM file"),
    ((b"P7\n", b"P7 332"), "a PAM file"),
    ((b"8BPS",), "a Photoshop file"),
    ((b"\x00\x00\x01\x00",), "an icon file"),
    ((b"FUJIFILMCCD-RAW",), "a camera's raw file"),
    ((b"%PDF",), "a PDF file"),
    ((b"PK\x03\x04", b"PK\x05\x06"), "a ZIP archive"),
    ((b"\x1f\x8b",), "gzip-compressed data"),
    ((b"\x93NUMPY",), "a NumPy array file"),
    ((b"version https://git-lfs",), "a Git LFS pointer, not the file itself (run `git lfs pull`)"),
)
_PLAYLISTS = (b"#EXTM3U", b"ffconcat version", b"v=0\r\no=", b"v=0\no=")
_MEDIA_BRANDS = {
    b"avif": "an AVIF file",
    b"avis": "an AVIF file",
    b"heic": "a HEIC file",
    b"heix": "a HEIC file",
    b"hevc": "a HEIC file",
    b"mif1": "a HEIC file",
    b"msf1": "a HEIC file",
    b"crx ": "a camera's raw file",
}


def identify_format(head: bytes) -> str | None:
    """Name the format of an image by its first 16 bytes, at least, if it is one that is read.

    One of `SENT_FORMATS`, ``"TIFF"``, ``"PNM"`` or None.
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
    if head.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
        return "TIFF"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3] in b" \t\r\n\v\f#":
        return "PNM"
    return None


def describe_content(data: bytes) -> str:
    """Describe what bytes seem to be, as a noun phrase for an error message."""
    return (
        describe_known(data)
        or describe_text(data)
        or f"{len(data)} bytes of an unknown format, beginning with {data[:8].hex(' ')}"
    )


def describe_known(data: bytes) -> str | None:
    """Describe bytes that begin like a file of a known format; None for others."""
    name = identify_format(data[:16])
    if name is not None:
        return f"a {name} file"
    for beginnings, kind in _OTHERS:
        if data.startswith(beginnings):
            return kind
    if data[4:8] == b"ftyp":
        return _MEDIA_BRANDS.get(data[8:12], "a video (MP4 or QuickTime)")
    text = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip()
    if text[:5].lower().startswith((b"<svg", b"<?xml", b"<html", b"<!doc")):
        return "markup text (SVG, XML or HTML)"
    if text.startswith(_PLAYLISTS):
        return "a playlist, which names other files (give those)"
    return None


def describe_text(data: bytes) -> str | None:
    """Describe bytes that begin like text; None for others."""
    head = data[:512]
    if not all(byte >= 32 or byte in b"\t\n\r\f" for byte in head):
        return None
    try:
        # Incremental, as the cut may fall within a character.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        if not any(byte < 128 for byte in head):
            return None
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return f"text, beginning with {text[:24].decode('utf-8', 'replace')!r}"


def read_header(data: bytes, name: str) -> ImageHeader | None:
    """Read what a file of a format claims to be, as `identify_format` names it.

    Of a file with several images, the first; None where its header is cut off or garbled.
    """
    try:
        header = _READERS[name](data)
    except (struct.error, IndexError, ValueError):
        return None
    return header if header and header.width > 0 and header.height > 0 else None


def _read_tiff(data: bytes) -> ImageHeader | None:
    return next((page.header for page in tiff_pages(data)), None)


_READERS = {
    "JPEG": read_jpeg,
    "PNG": read_png,
    "WebP": read_webp,
    "BMP": read_bmp,
    "PNM": read_pnm,
    "TIFF": _read_tiff,
}
