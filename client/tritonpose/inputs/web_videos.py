"""Open videos and streams over HTTP: files, motion JPEG of cameras, HLS.

Python does the talking, and FFmpeg sees bytes: certificates are checked, passwords go to their
host alone, and what a playlist names is looked at before it is asked for.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import os
import re
import socket
import time
import urllib.error
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import urlsplit, urlunsplit

from tritonpose.file_types import HEAD_BYTES, is_video_format, may_need_its_end
from tritonpose.inputs.addresses import masked
from tritonpose.inputs.cameras import ConnectError, OpenStream
from tritonpose.inputs.deadlines import Deadline
from tritonpose.inputs.streams import copied
from tritonpose.inputs.urls import explain_failure, open_url
from tritonpose.inputs.videos import open_alone, reason_of
from tritonpose_pipeline.file_formats import identify_format
from tritonpose_pipeline.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.client import HTTPResponse

SILENCE_S = 10.0
"""How long a server may be silent, in seconds: until it answers, and between its packets."""

PLAYLIST_SILENCE_S = 30.0
"""How long a playlist may name no new parts, in seconds."""

ANSWER_S = 30.0
"""How long the first lines of an answer may take, in seconds."""

WITHOUT_FRAME_S = 60.0
"""How long a stream may send something without a frame in it, in seconds."""

# No frame is that large.
_BYTES_WITHOUT_FRAME = 2**27
_PLAYLIST_BYTES = 2**20
# Parts one after the other that can't be fetched.
_MOST_FAILURES = 3
_FAILURES = (OSError, http.client.HTTPException, ValueError)
_KEY = re.compile(rb"^#EXT-X-KEY:(?!METHOD=NONE)", re.MULTILINE)
_ENCRYPTED = "its parts are encrypted, which isn't read: give an address that isn't"
_LIVE_OPTIONS = {"analyzeduration": "2000000"}
_HLS_OPTIONS = {
    "format_whitelist": "hls,mpegts,mov,mp4,m4a,3gp,3g2,mj2,aac,ac3,eac3,mp3,webvtt",
    "protocol_whitelist": "http,https",
    # Names don't matter: contents do.
    "allowed_extensions": "ALL",
    "allowed_segment_extensions": "ALL",
    "extension_picky": "0",
    # Connections are ours.
    "http_persistent": "0",
    "http_multiple": "0",
    "max_reload": "8",
    "m3u8_hold_counters": "30",
    "max_pixels": str(Limits.max_pixels),
}


@contextmanager
def open_web_video(address: str) -> Iterator[OpenStream]:
    """Open what an http or https address gives; raise ConnectError."""
    import av

    with ExitStack() as stack:
        body = stack.enter_context(closing(_Body(address, SILENCE_S)))
        head = body.peek(HEAD_BYTES)
        kind = body.kind
        if head.lstrip(b"\xef\xbb\xbf \r\n").startswith(b"#EXTM3U"):
            yield stack.enter_context(_open_playlist(address, body))
            return
        _check_kind(kind, head)
        needs_end = may_need_its_end(head)
        live = body.live = body.size is None and not needs_end
        multipart = kind == "multipart/x-mixed-replace"
        name = "mpjpeg" if multipart or re.match(rb"\s*--[^\r\n]{1,200}\r?\n", head) else None
        if name is None and head.startswith(b"\xff\xd8\xff"):
            name = "mjpeg"
        options = dict(_LIVE_OPTIONS) if live else {}
        file = cast("BinaryIO", body)
        if needs_end and body.size is not None and not body.seekable():
            file = copied(body, stack)
        try:
            container = open_alone(file, name, options)
        except (av.FFmpegError, *_FAILURES) as error:
            raise ConnectError(
                body.problem or reason_of(error),
                # A camera that begins may send nothing yet.
                final=bool(head) and not (multipart or body.problem),
            ) from None
        with container:
            yield OpenStream(
                container, live, problem=lambda: body.problem, frame_came=body.frame_came
            )


def _check_kind(kind: str, head: bytes) -> None:
    """Raise ConnectError for what is no video."""
    if kind == "application/dash+xml" or b"<MPD" in head:
        raise ConnectError("it is a DASH manifest, which isn't read: give its HLS one", final=True)
    if re.match(rb"\s*(<!doctype html|<html)", head, re.IGNORECASE) or (
        kind == "text/html" and not is_video_format(head)
    ):
        raise ConnectError(
            "it is a web page, no video: give the address of the stream itself", final=True
        )
    jpeg = head.startswith(b"\xff\xd8\xff")
    if (identify_format(head[:16]) is not None and not jpeg) or kind == "image/jpeg":
        raise ConnectError("it is an image, no video: predict is for images", final=True)


class _Body:
    """The body of an answer, as a file for FFmpeg; parts of it are asked for where it seeks."""

    def __init__(
        self, address: str, silence_s: float, check: Callable[[str], object] | None = None
    ) -> None:
        self._address, self._silence, self._check = address, silence_s, check
        self.problem = ""
        self._position = self._without_frame = 0
        self._frame_at, self.live = time.monotonic(), False
        self._head = b""
        self._response: HTTPResponse | None = self._open(0)
        headers = self._response.headers
        self.kind = headers.get_content_type()
        # Of relative addresses in a playlist. Without the password.
        self.name = self._response.url
        self.size = self._response.length
        self._ranges = self.size is not None and headers.get("Accept-Ranges") == "bytes"

    def _open(self, start: int) -> HTTPResponse:
        try:
            headers = {"Range": f"bytes={start}-"} if start else {}
            with Deadline(ANSWER_S) as deadline:
                response = open_url(self._address, self._silence, deadline, headers, self._check)
                deadline.check()
            if start and response.status != 206:
                response.close()
                raise OSError("the server doesn't send parts of files: download it first")
        except _FAILURES as error:
            raise self._failed(error) from None
        return response

    def _failed(self, error: Exception) -> ConnectError:
        code = error.code if isinstance(error, urllib.error.HTTPError) else 0
        self.problem = explain_failure(error, self._silence)
        if code == 401:
            self.problem += (
                ": put the user's name and password into the address, "
                "http://user:password@host/..., special characters percent-encoded"
            )
        return ConnectError(self.problem, final=code in (401, 403, 404, 405, 410))

    def seekable(self) -> bool:
        return self._ranges

    def peek(self, size: int) -> bytes:
        """Return the first bytes, which are read again later: at most ``size``, one at least."""
        if not self._head:
            self._head = self.read(size)
            self._position = 0
            if self.problem:
                raise ConnectError(self.problem)
        return self._head

    def read(self, size: int) -> bytes:
        if self._position < len(self._head):
            part = self._head[self._position : self._position + size]
            self._position += len(part)
            return part
        if self.size is not None and self._position >= self.size:
            return b""
        if self.size is None and self._gives_nothing():
            self.problem = "it sends data without end, but no frames"
            return b""
        try:
            if self._response is None:
                self._response = self._open(self._position)
            part = self._response.read1(size)
        except (ConnectError, *_FAILURES) as error:
            # Not raised through FFmpeg, which would print it.
            if not isinstance(error, ConnectError):
                self._failed(error)
            return b""
        if not part and self.size is not None:
            self.problem = f"the connection was closed after {self._position} of {self.size} bytes"
        self._position += len(part)
        self._without_frame += len(part)
        return part

    def frame_came(self) -> None:
        """Note that a frame was in what was read."""
        self._without_frame, self._frame_at = 0, time.monotonic()

    def _gives_nothing(self) -> bool:
        late = self.live and time.monotonic() - self._frame_at > WITHOUT_FRAME_S
        return late or self._without_frame > _BYTES_WITHOUT_FRAME

    def rewind(self, data: bytes) -> None:
        """Begin again with these bytes, which are all."""
        self._head, self._position, self.size = data, 0, len(data)
        self._ranges = False

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if not self._ranges or self.size is None:
            raise OSError("the server doesn't send parts of files")
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        target = base + offset
        if target != self._position:
            self._position = target
            self._head = b""
            self._close_response()
        return target

    def close(self) -> None:
        self._close_response()

    def _close_response(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None


@contextmanager
def _open_playlist(address: str, body: _Body) -> Iterator[OpenStream]:
    import av

    playlist = _Playlist(address, body.name)
    data = bytearray()
    while len(data) <= _PLAYLIST_BYTES and (part := body.read(_PLAYLIST_BYTES)):
        data += part
    live = b"#EXT-X-ENDLIST" not in data and b"#EXT-X-PLAYLIST-TYPE:VOD" not in data
    body.rewind(bytes(data))
    for name in re.findall(rb"(?m)^(?:#.*URI=\")?([a-zA-Z][\w+.-]*:[^\"\r\n]*)", data):
        if not playlist.allows(name.decode("utf-8", "replace")):
            raise ConnectError(playlist.problem, final=True)
    if _KEY.search(data):
        raise ConnectError(_ENCRYPTED, final=True)
    if not re.search(rb"^[^#\s]", data, re.MULTILINE):
        raise ConnectError("its playlist names no video", final=not live)
    try:
        container = av.open(
            body,
            "r",
            format="hls",
            options=_HLS_OPTIONS,
            metadata_errors="replace",
            io_open=playlist.open,
            timeout=(PLAYLIST_SILENCE_S, PLAYLIST_SILENCE_S),
        )
    except (av.FFmpegError, *_FAILURES) as error:
        raise ConnectError(
            playlist.problem or playlist.missing or f"its playlist: {reason_of(error)}",
            final=playlist.refused or not live,
        ) from None
    with container:
        # Of a list of playlists, only the ones that are read tell.
        live = live and not playlist.ends
        yield OpenStream(container, live, bursts=live, problem=lambda: playlist.problem)


class _Playlist:
    """What a playlist names, opened for FFmpeg where it is safe.

    Nothing is raised through FFmpeg, which would print it: what isn't opened is empty, and
    `problem` says why.
    """

    def __init__(self, address: str, name: str) -> None:
        self._given = urlsplit(address)
        self._public = _is_public(urlsplit(name).hostname or "")
        self.problem = self.missing = ""
        self.refused = self.ends = False
        self._failures = 0

    def open(self, address: str, _flags: int, _options: object) -> BinaryIO:
        """Open an address for FFmpeg."""
        try:
            self._check(address)
            body = _Body(self._with_credentials(address), SILENCE_S, self._check)
            self._failures = 0
            head = body.peek(_PLAYLIST_BYTES)
            if b"#EXT-X-ENDLIST" in head:
                self.ends = True
            if head.startswith(b"#EXTM3U") and _KEY.search(head):
                self.problem, self.refused = _ENCRYPTED, True
                raise OSError(_ENCRYPTED)
            return cast("BinaryIO", body)
        except (ConnectError, *_FAILURES) as error:
            # A part may have expired before it was asked for.
            self._failures += 1
            self.missing = f"{masked(address)!r} of its playlist: {error}"
            if self._failures >= _MOST_FAILURES and not self.problem:
                self.problem = self.missing
            return cast("BinaryIO", io.BytesIO())

    def _with_credentials(self, address: str) -> str:
        """Add the user and the password where they belong to the same host."""
        parts = urlsplit(address)
        credentials, at, host = self._given.netloc.rpartition("@")
        if (parts.scheme, parts.netloc) != (self._given.scheme, host) or not at:
            return address
        return urlunsplit(parts._replace(netloc=f"{credentials}@{host}"))

    def allows(self, address: str) -> bool:
        """Check what a playlist names; `problem` says what is wrong with it."""
        try:
            self._check(address)
        except OSError:
            return False
        return True

    def _check(self, address: str) -> None:
        if self.refused:
            raise OSError("refused")
        scheme = address.partition(":")[0].lower()
        problem = ""
        if scheme not in ("http", "https"):
            problem = f"its playlist names {masked(address)!r}: only http:// and https:// are read"
        elif self._public and not _is_public(urlsplit(address).hostname or ""):
            problem = f"its playlist names {masked(address)!r}, an address inside this network"
        if problem:
            self.problem, self.refused = problem, True
            raise OSError(problem)


def _is_public(host: str) -> bool:
    """Check whether a host is outside; one that nobody knows isn't."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    addresses = [ipaddress.ip_address(str(item[4][0]).partition("%")[0]) for item in found]
    return all(address.is_global for address in addresses)
