"""Telling image formats by the first bytes of a file, whatever its name says."""

from __future__ import annotations

SUPPORTED_FORMATS = "JPEG, PNG, WebP or BMP"


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
    """Say in a few words what bytes that are no supported image seem to be.

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
