"""Downloads one file over HTTP: whole under its name, or not there at all.

httpx is used directly because ``pooch`` waits for ever on a server that trickles, takes files of
any size and repeats what can't succeed. Proxies are those of the environment (``HTTPS_PROXY``...).
"""

from __future__ import annotations

import hashlib
import re
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpose_server.models.errors import FetchError

if TYPE_CHECKING:
    import httpx

_TRANSIENT_STATUSES = (408, 425, 429, 500, 502, 503, 504)
_CREDENTIALS = re.compile(r"(?<=://)[^/?#]*@")


class DownloadError(FetchError):
    """A file could not be downloaded; one line with its address, what happened and what to do."""


class NotFoundError(DownloadError):
    """The server answered that there is no such file."""


class TransientError(DownloadError):
    """A request failed in a way that the next one may not."""


@dataclass(frozen=True)
class DownloadLimits:
    """When to give up; in each ``stall_window_s`` at least ``stall_bytes`` must arrive.

    ``read_timeout_s`` is the longest silence. ``attempts`` are those in all, where trying again
    makes sense; ``backoff_s`` is the wait before the second, and doubles with each one.
    """

    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0
    stall_window_s: float = 60.0
    stall_bytes: int = 64 << 10
    attempts: int = 4
    backoff_s: float = 0.5
    max_bytes: int = 2 << 30


DEFAULT_LIMITS = DownloadLimits()


def download_file(
    address: str, destination: Path, *, limits: DownloadLimits = DEFAULT_LIMITS
) -> str:
    """Download a file, replacing what is there, and return its SHA-256 in hex.

    A progress bar is shown where standard error is a terminal. Redirects from ``https`` to ``http``
    are not followed. A file that the server does not have is a `NotFoundError`, all else a
    `DownloadError`.
    """
    # A name of its own for each download, so that none writes into another's file.
    part = destination.with_name(f".{destination.name}.{uuid.uuid4().hex[:8]}.part")
    attempt = 1
    try:
        while True:
            try:
                digest = _download(address, part, limits)
                part.replace(destination)
                return digest
            except TransientError as error:
                if attempt == limits.attempts:
                    raise DownloadError(f"{error} ({attempt} attempts); try again later") from error
            time.sleep(limits.backoff_s * 2 ** (attempt - 1))
            attempt += 1
    except DownloadError as error:
        reason = " ".join(str(error).split())
        raise type(error)(f"{redact_credentials(address)}: {reason}") from error
    finally:
        part.unlink(missing_ok=True)


def redact_credentials(address: str) -> str:
    """Return the address without the user name and password it may hold, to be shown."""
    return _CREDENTIALS.sub("", address)


def _download(address: str, part: Path, limits: DownloadLimits) -> str:
    """Send one request, write the answer to a file and return its SHA-256."""
    # It takes long to import, and models that are installed need none of it.
    import httpx

    timeout = httpx.Timeout(limits.read_timeout_s, connect=limits.connect_timeout_s)
    hooks = {"request": [_require_https] if address.lower().startswith("https:") else []}
    answered = False
    try:
        with (
            httpx.Client(follow_redirects=True, timeout=timeout, event_hooks=hooks) as client,
            client.stream("GET", address, headers={"Accept-Encoding": "identity"}) as response,
        ):
            answered = True
            _check_head(response)
            return _store(response, part, limits)
    except (httpx.ReadError, httpx.RemoteProtocolError) as error:
        raise TransientError(f"the connection broke ({error})") from error
    except httpx.TimeoutException as error:
        # A server that does not answer at all is not worth another wait as long as this one.
        kind = TransientError if answered else DownloadError
        raise kind("the server does not answer in time; try again later") from error
    # Also unusable addresses and proxies, unreadable certificates, a full disk.
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError, OSError) as error:
        raise DownloadError(
            f"{error}: check the address, the network, the proxy settings (HTTPS_PROXY, ALL_PROXY) "
            f"and the space in {part.parent}"
        ) from error


def _require_https(request: httpx.Request) -> None:
    if request.url.scheme != "https":
        raise DownloadError("redirected from https to http, where anybody could change the file")


def _check_head(response: httpx.Response) -> None:
    """Check that an answer is a file."""
    status = response.status_code
    if status != 200:
        kind = NotFoundError if status in (404, 410) else DownloadError
        kind = TransientError if status in _TRANSIENT_STATUSES else kind
        raise kind(f"the server answers {status} {response.reason_phrase}".rstrip())
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise DownloadError(
            "the server answers with a web page instead of the file: check the address, and "
            "whether the network asks for a login"
        )


def _store(response: httpx.Response, part: Path, limits: DownloadLimits) -> str:
    """Write the body of an answer to a file and return its SHA-256."""
    from tqdm import tqdm

    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    digest = hashlib.sha256()
    done, before, since = 0, 0, time.monotonic()
    with (
        part.open("wb") as file,
        # `disable=None`: only a terminal gets the bar.
        tqdm(total=total, unit="B", unit_scale=True, file=sys.stderr, disable=None) as bar,
    ):
        for piece in response.iter_raw():
            done += len(piece)
            if max(done, total or 0) > limits.max_bytes:
                raise DownloadError(f"the file is larger than the {limits.max_bytes} bytes allowed")
            elapsed = time.monotonic() - since
            if elapsed >= limits.stall_window_s:
                if done - before < limits.stall_bytes:
                    raise DownloadError(f"stalled: {done - before} bytes in {elapsed:.0f} s")
                before, since = done, time.monotonic()
            file.write(piece)
            digest.update(piece)
            bar.update(len(piece))
    return digest.hexdigest()
