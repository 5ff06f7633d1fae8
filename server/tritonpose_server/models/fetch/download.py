"""Downloads one file over HTTP: whole and checked under its name, or not there at all.

An interrupted transfer is taken up where it broke off, if the server can prove by ``If-Range``
that the file is still the same; otherwise it starts again. Proxies are those of the usual
environment variables (``HTTPS_PROXY``, ``NO_PROXY``, ...).
"""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from tritonpose_server.models.errors import FetchError
from tritonpose_server.models.fetch.transfer import Transfer, TransferError, Transient

_NOT_FOUND = (404, 410)
_CREDENTIALS = re.compile(r"(?<=://)[^/?#]*@")


class DownloadError(FetchError):
    """A file could not be downloaded; one line with its address, what happened and what to do."""


class NotFoundError(DownloadError):
    """The server answered that there is no such file."""


class DownloadProgress(Protocol):
    """Told how far a download has come."""

    def __call__(self, done: int, total: int | None, /) -> None:
        """Take note of the progress.

        Args:
            done: Bytes that are there; fewer than before when the download had to start again.
            total: Bytes of the whole file, None while unknown.
        """


@dataclass(frozen=True)
class DownloadLimits:
    """When to give up.

    Attributes:
        connect_timeout_s: Longest wait for a connection, in seconds.
        read_timeout_s: Longest silence of the server, in seconds.
        stall_window_s: In each span of so many seconds, waits and retries included, ...
        stall_bytes: ... at least so many bytes must arrive.
        attempts: How often to try in all, where trying again makes sense.
        backoff_s: Wait before the second attempt in seconds; doubles with each one.
        max_bytes: Largest file that is accepted.
    """

    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    stall_window_s: float = 60.0
    stall_bytes: int = 64 << 10
    attempts: int = 5
    backoff_s: float = 0.5
    max_bytes: int = 2 << 30


DEFAULT_LIMITS = DownloadLimits()


def download_file(
    address: str,
    destination: Path,
    *,
    progress: DownloadProgress | None = None,
    limits: DownloadLimits = DEFAULT_LIMITS,
) -> str:
    """Download a file.

    Args:
        address: Of ``http`` or ``https``; redirects are followed, but not from ``https`` to
            ``http``.
        destination: Where to put it, replacing what is there; its directory must exist.
        progress: Told how far the download has come.
        limits: When to give up.

    Returns:
        The file's SHA-256 in hex.

    Raises:
        NotFoundError: The server has no such file.
        DownloadError: It could not be downloaded, is too large, or the destination can't be
            written.
    """
    # A name of its own for each download, so that none writes into another's file.
    part = destination.with_name(f".{destination.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with part.open("xb") as file:
            transfer = Transfer(
                address, file, limits.max_bytes, progress or (lambda _done, _total: None)
            )
            _repeat(transfer, limits)
        part.replace(destination)
    except TransferError as error:
        failure = NotFoundError if error.status in _NOT_FOUND else DownloadError
        raise failure(f"{public_address(address)}: {_one_line(error)}") from error
    except OSError as error:
        raise DownloadError(
            f"{public_address(address)}: can't write {destination}: {error}; is there space, and "
            "may you write there?"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return transfer.sha256.hexdigest()


def public_address(address: str) -> str:
    """The address without the user name and password it may hold, to be shown and recorded."""
    return _CREDENTIALS.sub("", address)


def _repeat(transfer: Transfer, limits: DownloadLimits) -> None:
    """Run a transfer until it is complete, as long as the limits allow it."""
    watch = _StallWatch(limits)
    with _client(limits, secure=transfer.address.lower().startswith("https:")) as client:
        for attempt in range(limits.attempts):
            try:
                transfer.run(client, watch.note)
                return
            except Transient as error:
                reason = error
            if attempt + 1 < limits.attempts:
                time.sleep(limits.backoff_s * 2**attempt)
                watch.note(0)
    raise TransferError(
        f"{reason} (given up after {limits.attempts} attempts); try again later",
        status=reason.status,
    ) from reason


def _client(limits: DownloadLimits, *, secure: bool) -> httpx.Client:
    """A client with the proxies and certificates of the environment."""
    try:
        return httpx.Client(
            follow_redirects=True,
            timeout=httpx.Timeout(limits.read_timeout_s, connect=limits.connect_timeout_s),
            event_hooks={"request": [_require_https] if secure else []},
        )
    # A SOCKS proxy without its package, a malformed proxy address, unreadable certificates.
    except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
        raise TransferError(
            f"{error}; check the proxy settings (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY) and "
            "SSL_CERT_FILE"
        ) from error


def _require_https(request: httpx.Request) -> None:
    if request.url.scheme != "https":
        raise TransferError("redirected from https to http, where anybody could change the file")


class _StallWatch:
    """Ends transfers that go on, but so slowly that they are as good as dead."""

    def __init__(self, limits: DownloadLimits) -> None:
        self._limits = limits
        self._since = time.monotonic()
        self._received = 0

    def note(self, count: int) -> None:
        """Take note of bytes that arrived.

        Raises:
            TransferError: Too few did in the last span of time.
        """
        self._received += count
        elapsed = time.monotonic() - self._since
        if elapsed < self._limits.stall_window_s:
            return
        if self._received < self._limits.stall_bytes:
            raise TransferError(
                f"stalled: {self._received} bytes in {elapsed:.0f} s; try again later"
            )
        self._since += elapsed
        self._received = 0


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
