"""Tell images, videos and other files apart, by their first bytes and by their names."""

from __future__ import annotations

import codecs
import re
import stat
from pathlib import Path

# Magic bytes at the start of a file ("." is any byte), and what to call such a file.
# Sources: the formats' specifications, as collected in file(1)'s magic database.
_SERVER_FORMATS: tuple[tuple[bytes, str], ...] = (
    (rb"\xff\xd8\xff", "a JPEG image"),
    (rb"\x89PNG\r\n\x1a\n", "a PNG image"),
    (rb"RIFF....WEBP", "a WebP image"),
    (rb"BM", "a BMP image"),
)
_VIDEO = "a video"
_OTHER_FORMATS: tuple[tuple[bytes, str], ...] = (
    (rb"II\*\0|MM\0\*|II\+\0|MM\0\+", "a TIFF image"),
    (rb"....ftyp(avif|avis)", "an AVIF image"),
    (rb"....ftyp(heic|heix|hevc|mif1|msf1)", "a HEIC image"),
    (rb"....ftyp|\0...(moov|mdat|wide)", _VIDEO),  # MP4, MOV
    (rb"\x1a\x45\xdf\xa3|RIFF....AVI |FLV\x01|OggS", _VIDEO),  # the first: Matroska, WebM
    (rb"\0\0\x01[\xb3\xba]|\x30\x26\xb2\x75\x8e\x66\xcf\x11", _VIDEO),  # MPEG; WMV
    (rb"\0?\0\0\x01([\x67\x47\x27\x09]|[\x40\x42\x46]\x01)", _VIDEO),  # bare H.264; H.265
    (rb"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02", _VIDEO),  # MXF
    (rb"GIF8[79]a|YUV4MPEG2 |DKIF\0\0|nut/multimedia|\.RMF|\x1f\x07\0", _VIDEO),  # the last: DV
    (rb"\x47.{187}\x47.{187}\x47|....\x47.{191}\x47.{191}\x47", _VIDEO),  # MPEG-TS; of AVCHD
    (
        rb"\s*#EXTM3U|ffconcat version|v=0\r?\no=",
        "a playlist, which names other files (give those)",
    ),
    (rb"%PDF-", "a PDF document"),
    (rb"PK(\x03\x04|\x05\x06)", "a zip archive"),
    (rb"\x1f\x8b", "gzip-compressed data"),
    (rb"\x93NUMPY", "a NumPy array file"),
    (rb"(?i:\s*<(!doctype\s+html|html))", "a web page"),
    (rb"version https://git-lfs", "a Git LFS pointer, not the file itself (run `git lfs pull`)"),
)

# The suffixes PaddleX picks from a directory, less PDF: pages of documents show no people.
_IMAGE_NAME = re.compile(r".*\.(bmp|dib|jpe?g|png|webp|p[bgpn]m|sr|ras|tiff?)", re.I | re.S)
# A list of our own, as what `mimetypes` knows of videos differs from one system to the next.
# Without .ts, which is TypeScript more often than a transport stream, and .gif, as in PaddleX.
_VIDEO_NAME = re.compile(
    r".*\.(mp4|m4v|mov|qt|avi|divx|mkv|webm|mpe?g|m[12p]v|vob|wmv|asf|flv|f4v|3gp|3g2|ogv|mts|m2ts|"
    r"mxf|y4m|h?26[45]|hevc|avc|mjpe?g|ivf|dv|rm|rmvb|nut)",
    re.I | re.S,
)
_MJPEG_NAME = re.compile(r".*\.mjpe?g", re.I | re.S)
_TRANSPORT_STREAM_NAME = re.compile(r".*\.ts", re.I | re.S)

HEAD_BYTES = 1024
"""How much of a file, from its start, tells its type."""


def is_url(path: str) -> bool:
    """Check whether this is an address to fetch, not a path."""
    return re.match("https?://", path, re.IGNORECASE) is not None


def has_image_name(name: str) -> bool:
    """Check whether the suffix is that of an image."""
    return _IMAGE_NAME.fullmatch(name) is not None


def has_video_name(name: str) -> bool:
    """Check whether the suffix is that of a video."""
    return _VIDEO_NAME.fullmatch(name) is not None


def is_video(path: str) -> bool:
    """Check whether this is a file to read frame by frame.

    Its first bytes decide, else its suffix; the suffix of an image is believed unread, as most
    paths have one. Only regular files are opened: what others give can be read but once.
    """
    if has_image_name(path):
        return False
    head = _head_of(path)
    if is_server_format(head):
        # The frames of bare motion JPEG are images.
        return _MJPEG_NAME.fullmatch(path) is not None
    kind = _match(head, _OTHER_FORMATS)
    return kind == _VIDEO or (kind is None and bool(head) and has_video_name(path))


def is_found(path: str) -> bool:
    """Check whether a file in a directory is to be read: a regular one, named like one to read.

    One that can't be looked at is, too, so that it is reported.
    """
    if _TRANSPORT_STREAM_NAME.fullmatch(path):
        return is_video(path)
    if not (has_image_name(path) or has_video_name(path)):
        return False
    try:
        return stat.S_ISREG(Path(path).stat().st_mode)
    except OSError:
        return True


def _head_of(path: str) -> bytes:
    """Read the first bytes of a regular file; b"" if it is none or can't be read."""
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            return b""
        with Path(path).open("rb") as file:
            return file.read(HEAD_BYTES)
    except (OSError, ValueError):
        return b""


def is_server_format(data: bytes) -> bool:
    """Check whether these bytes begin like a format that the server decodes itself."""
    return _match(data, _SERVER_FORMATS) is not None


def is_tiff(data: bytes) -> bool:
    """Check whether these bytes begin like a TIFF file, which may hold several pages."""
    return _match(data, _OTHER_FORMATS) == "a TIFF image"


def is_video_format(data: bytes) -> bool:
    """Check whether these bytes begin like a video."""
    return _match(data, _OTHER_FORMATS) == _VIDEO


def describe_undecodable(data: bytes) -> str:
    """Describe bytes that can't be decoded as an image.

    Returns:
        A phrase to follow the file's name, such as "is empty" or "looks like text".
    """
    if not data:
        return "is empty (0 bytes)"
    image = _match(data, _SERVER_FORMATS)
    if image is not None and not _is_text(data):
        return f"begins like {image} but can't be decoded: it is truncated or damaged"
    other = _match(data, _OTHER_FORMATS)
    if other is not None:
        return f"looks like {other}, which can't be decoded here"
    if _is_text(data):
        return "looks like text"
    return f"is of no known image format (it begins with {data[:8].hex(' ')})"


def _match(data: bytes, formats: tuple[tuple[bytes, str], ...]) -> str | None:
    return next((name for magic, name in formats if re.match(magic, data, re.DOTALL)), None)


def _is_text(data: bytes) -> bool:
    """Check whether the first kilobyte is UTF-8 without NUL bytes."""
    head = data[:1024]
    try:
        # Incremental, as the cut may fall within a character.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return b"\0" not in head
