"""Fetch images that are given as URLs.

By urllib: aiohttp would rewrite percent-encoded characters, which invalidates signed URLs, and any
other library would be one more dependency, and slower to import.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, unquote, urlsplit

from tritonpose import __version__
from tritonpose.errors import InputError
from tritonpose.inputs.addresses import CAMERA_ADVICE, masked
from tritonpose.inputs.deadlines import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from http.client import HTTPResponse

MAX_BYTES = 64 * 2**20
"""The largest file that is fetched."""

SILENCE_S = 15.0
"""How long a server may be silent, in seconds: until it answers, and between its packets."""

TOTAL_S = 120.0
"""How long fetching a file may take, in seconds."""

_CHUNK_BYTES = 2**16
_HANDLERS = (
    urllib.request.ProxyHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPErrorProcessor,
    urllib.request.UnknownHandler,
)


def fetch(url: str) -> bytes:
    """Fetch a file over HTTP or HTTPS, following redirects; proxies as in the environment.

    The URL may hold a user name and password (``http://user:password@camera/now.jpg``), which go to
    this host alone, and characters that have yet to be percent-encoded. InputError says what
    happened, also for a file larger than `MAX_BYTES` or slower than `SILENCE_S` and `TOTAL_S`.
    """
    deadline = Deadline(TOTAL_S)
    try:
        with deadline, open_url(url, SILENCE_S, deadline) as response:
            data = _read(response)
            # What is cut may look as if that were all.
            deadline.check()
            return data
    except (OSError, http.client.HTTPException, ValueError) as error:
        problem = explain_failure(error, SILENCE_S)
        if deadline.passed:
            problem = f"not all of it came within {TOTAL_S:g} s"
        raise InputError(f"can't fetch {masked(url)!r}: {problem}", url) from error


def open_url(
    url: str,
    silence_s: float,
    deadline: Deadline,
    headers: Mapping[str, str] | None = None,
    check: Callable[[str], object] | None = None,
) -> HTTPResponse:
    """Ask for a file over HTTP or HTTPS; raise OSError, HTTPException or ValueError.

    Nothing is waited for beyond the ``deadline``. ``check`` may raise one of these for an address,
    also for each that a redirect names.
    """
    request, user, password = _request_for(url)
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    # urllib's usual opener would follow a redirect to FTP as well.
    opener = urllib.request.OpenerDirector()
    for handler in (*(each() for each in _HANDLERS), *deadline.handlers()):
        opener.add_handler(handler)
    opener.add_handler(_Redirects(check))
    if user:
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        passwords.add_password(None, f"{request.type}://{request.host}/", user, password)
        opener.add_handler(urllib.request.HTTPDigestAuthHandler(passwords))
    if check is not None:
        check(url)
    return cast("HTTPResponse", opener.open(request, timeout=silence_s))


class _Redirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, check: Callable[[str], object] | None) -> None:
        self._check = check

    def redirect_request(self, *answer: Any) -> urllib.request.Request | None:
        request = super().redirect_request(*answer)
        if request is not None and self._check is not None:
            self._check(request.full_url)
        return request


def _request_for(url: str) -> tuple[urllib.request.Request, str, str]:
    """Encode a URL for HTTP, and return the user and the password in it, too.

    ValueError: it can't be encoded.
    """
    parts = urlsplit(url)
    credentials, _, address = parts.netloc.rpartition("@")
    if not address.isascii():
        host, colon, port = address.partition(":")
        address = host.encode("idna").decode() + colon + port
    # "%" stays, for characters that are encoded already.
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~?[]")
    request = urllib.request.Request(  # noqa: S310 (the handlers above know no file:)
        f"{parts.scheme}://{address}{path}{'?' if query else ''}{query}",
        headers={"User-Agent": f"tritonpose/{__version__}"},
    )
    if credentials:
        token = base64.b64encode(unquote(credentials).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    user, _, password = credentials.partition(":")
    return request, unquote(user), unquote(password)


def _read(response: HTTPResponse) -> bytes:
    """Read a body; raise OSError if it is a stream, too large or incomplete."""
    kind = response.headers.get_content_type()
    if kind == "multipart/x-mixed-replace":
        raise OSError(f"it is a camera's stream, which has no end; {CAMERA_ADVICE}")
    if kind.startswith("video/") or "mpegurl" in kind or kind == "application/dash+xml":
        raise OSError(f"it is a video ({kind}); download it first, or give it to pipeline.track")
    announced = response.length
    limit = f"is larger than the {MAX_BYTES >> 20} MiB that are fetched; download it first"
    if announced is not None and announced > MAX_BYTES:
        raise OSError(f"it has {announced} bytes and {limit}")
    data = bytearray()
    while announced is None or len(data) < announced:
        # Not read(), which waits for all of the chunk, however slowly it comes.
        chunk = response.read1(_CHUNK_BYTES)
        if not chunk:
            break
        data += chunk
        if len(data) > MAX_BYTES:
            raise OSError(f"it {limit}")
    if announced is not None and len(data) < announced:
        raise OSError(f"the connection was closed after {len(data)} of {announced} bytes")
    return bytes(data)


def explain_failure(error: Exception, silence_s: float) -> str:
    """Say in plain words why fetching failed."""
    if isinstance(error, urllib.error.HTTPError):
        with error:
            return f"the server answered {error.code} {error.reason}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return f"the server kept silent for {silence_s:g} s"
    if isinstance(reason, socket.gaierror):
        return f"unknown host ({reason.strerror})"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"the server's certificate can't be trusted ({reason.verify_message})"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason) or type(reason).__name__
