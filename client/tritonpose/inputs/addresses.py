"""Tell addresses from paths: which are files here, and which aren't read."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote

from tritonpose.file_types import is_url

# Two letters at least: C: is a drive.
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_LIVE = frozenset(("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "srt", "mms", "mmsh", "rtspt"))
CAMERA_ADVICE = (
    "predict is for images; pipeline.track, or `tritonpose track`, reads cameras and streams"
)
"""What to do with an input that has no end."""

# What comes before the host, or the password: also where a slash or the scheme is missing.
_BEFORE_HOST = re.compile(r"[^@]*?[a-z][\w+.-]+:[/\\]{2,}", re.IGNORECASE)
_MISSPELLED = re.compile(
    r"\W*((rtsp|http|rtmp|ftp)s?[:/\\]+(?=[^/\\])|(?=[^/\\:@]+:[^/\\@]*@[^/\\@]))", re.IGNORECASE
)
_VALUE = re.compile(r"=([^&;/?#]*)")
_HARMLESS = re.compile(r"\d{0,2}")


def masked(address: str) -> str:
    """Return an address without what is secret in it, for names, messages and logs.

    The user and the password are left out, and values such as those of a query are replaced by
    ``***``, but for numbers of one or two digits, which tell channels of a recorder apart.
    """
    match = _BEFORE_HOST.match(address)
    if match is None and not os.path.lexists(address):
        match = _MISSPELLED.match(address)
    if match is None:
        return address
    rest = address[match.end() :]
    host, slash, path = rest.partition("/")
    if "@" in host:
        host = host.rpartition("@")[2]
    elif "@" in path and not re.fullmatch(r"[^:\[]*(:\d*)?|\[[^]]*\](:\d*)?", host):
        # A slash in the password, which no URL may have.
        host, slash, path = rest.rpartition("@")[2].partition("/")
    path = _VALUE.sub(lambda found: found[0] if _HARMLESS.fullmatch(found[1]) else "=***", path)
    return match[0] + _VALUE.sub("=***", host) + slash + path


def local_path(address: str) -> str:
    """Return the path in a ``file://`` URL of this machine; anything else as it is.

    A file whose name has the escapes in it is found, too.
    """
    if not re.match("file:", address, re.IGNORECASE):
        return address
    # By hand, as urlsplit finds queries, fragments and IPv6 addresses in names of files.
    path = re.sub("^//(localhost(?=/))?", "", address[len("file:") :], flags=re.IGNORECASE)
    if not path.startswith("/"):
        return address
    return path if os.path.lexists(path) else unquote(path, errors="surrogateescape")


def misspelled_address(address: str) -> str | None:
    """Say what is wrong with what is no path, and nearly an address; None for all else."""
    if SCHEME.match(address) or os.path.lexists(address):
        return None
    if not (_BEFORE_HOST.match(address) or _MISSPELLED.match(address)):
        return None
    return f"{masked(address)!r} is no file; addresses begin with rtsp://, http:// or https://"


def unread_address(address: str) -> str | None:
    """Say what to do instead with an address that isn't read; None for all else."""
    if re.match("data:[^,]*,", address):
        return "data: URLs aren't read: give the bytes, base64.b64decode(...)"
    match = SCHEME.match(address)
    if match is None or is_url(address) or os.path.lexists(address):
        return misspelled_address(address)
    scheme = match[1].lower()
    name = masked(address)
    if scheme in _LIVE:
        return f"{name!r} is the address of a live stream; {CAMERA_ADVICE}"
    if scheme == "file":
        return f"{name!r} is a file of another machine, or no absolute path: copy it here first"
    return (
        f"{name!r}: {scheme}:// addresses aren't read: give a local copy, an https:// address, "
        "or a file that is open in mode 'rb', such as fsspec's; `tritonpose batch` reads object "
        "stores by itself"
    )
