"""Telling URLs, images and videos apart before anything is read in full."""

from __future__ import annotations

import re
from pathlib import Path

from tritonpose.file_types import is_server_format, is_video_format

# The suffixes PaddleX picks from a directory, less PDF: pages of documents show no people.
_IMAGE_NAME = re.compile(r".*\.(bmp|dib|jpe?g|png|webp|p[bgpn]m|sr|ras|tiff?)", re.I | re.S)
# A list of our own, as what `mimetypes` knows of videos differs from one system to the next.
# Without .ts, which is TypeScript more often than a transport stream.
_VIDEO_NAME = re.compile(
    r".*\.(mp4|m4v|mov|avi|mkv|webm|mpe?g|wmv|flv|3gp|ogv|mts|m2ts)", re.I | re.S
)
_HEAD_BYTES = 64


def is_url(path: str) -> bool:
    """Whether this is an address to fetch, not a path."""
    return re.match("https?://", path, re.IGNORECASE) is not None


def has_image_name(name: str) -> bool:
    """Whether the suffix is that of an image."""
    return _IMAGE_NAME.fullmatch(name) is not None


def has_video_name(name: str) -> bool:
    """Whether the suffix is that of a video."""
    return _VIDEO_NAME.fullmatch(name) is not None


def is_video(path: str) -> bool:
    """Whether this is a file to read frame by frame.

    Its first bytes decide, else its suffix; the suffix of an image is believed unread, as most
    paths have one.
    """
    if has_image_name(path):
        return False
    try:
        with Path(path).open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, ValueError):
        return False
    return is_video_format(head) or (has_video_name(path) and not is_server_format(head))
