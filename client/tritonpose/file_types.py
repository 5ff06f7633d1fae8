"""Tell images, videos and other files apart, by their first bytes and by their names."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import BinaryIO

from tritonpose_pipeline.file_formats import (
    SENT_FORMATS,
    describe_known,
    describe_text,
    identify_format,
)

# Magic bytes at the start of a video ("." is any byte), but for raw motion JPEG, whose frames are
# images. Sources: the formats' specifications, as collected in file(1)'s magic database.
_VIDEO = re.compile(
    b"|".join(
        (
            # MP4, MOV
            rb"....ftyp(?!avif|avis|heic|heix|hevc|mif1|msf1|crx )|\0...(moov|mdat|wide)",
            rb"\x1a\x45\xdf\xa3|RIFF....AVI |FLV\x01|OggS",  # the first: Matroska, WebM
            rb"\0\0\x01[\xb3\xba]|\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # MPEG; WMV
            rb"\0?\0\0\x01([\x67\x47\x27\x09]|[\x40\x42\x46]\x01)",  # bare H.264; H.265
            rb"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02",  # MXF
            rb"GIF8[79]a|YUV4MPEG2 |DKIF\0\0|nut/multimedia|\.RMF|\x1f\x07\0",  # the last: DV
            rb"\s*--[^\r\n]{1,200}\r?\n(?i:content-)",  # a camera's HTTP answer
            rb"\x47.{187}\x47.{187}\x47|....\x47.{191}\x47.{191}\x47",  # MPEG-TS; of AVCHD
        )
    ),
    re.DOTALL,
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
    if is_video_format(head):
        return True
    return bool(head) and has_video_name(path) and describe_known(head) is None


def is_found(path: str) -> bool:
    """Check whether a regular file in a directory is to be read; all but .ts by its name."""
    if _TRANSPORT_STREAM_NAME.fullmatch(path):
        return is_video(path)
    return has_image_name(path) or has_video_name(path)


def _head_of(path: str) -> bytes:
    """Read the first bytes of a regular file; b"" if it is none or can't be read."""
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            return b""
        with Path(path).open("rb") as file:
            return file.read(HEAD_BYTES)
    except (OSError, ValueError):
        return b""


def may_need_its_end(head: bytes) -> bool:
    """Check whether this is an MP4 or MOV file, whose index is needed first and may come last."""
    return head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide")


def is_server_format(data: bytes) -> bool:
    """Check whether these bytes begin like a format that the server decodes itself."""
    return identify_format(data[:16]) in SENT_FORMATS


def is_video_format(data: bytes) -> bool:
    """Check whether these bytes begin like a video."""
    return not is_server_format(data) and _VIDEO.match(data) is not None


def other_content(file: BinaryIO) -> str:
    """Say what a file is that can't be decoded as a video; "" if it may be one all the same."""
    try:
        file.seek(0)
        head = file.read(HEAD_BYTES)
    except (OSError, ValueError):
        return ""
    if not head:
        return "it is empty (0 bytes)"
    kind = describe_known(head)
    if kind is not None and "video" in kind:
        return ""
    kind = kind or describe_text(head)
    return f"it looks like {kind}" if kind else ""
