"""One HTTP transfer into an open file, over as many requests as it takes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import IO

import httpx

_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class TransferError(Exception):
    """A transfer failed for good.

    Attributes:
        status: The HTTP status that says so, if one does.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Transient(TransferError):  # noqa: N818 - it is not the end yet
    """A request failed in a way that the next one may not."""


class Transfer:
    """What is known of a file between requests.

    Attributes:
        address: Where the file is.
        sha256: Of the bytes received so far.
    """

    def __init__(
        self,
        address: str,
        file: IO[bytes],
        max_bytes: int,
        progress: Callable[[int, int | None], None],
    ) -> None:
        """Begin with nothing.

        Args:
            address: Where the file is.
            file: Where its content goes; empty.
            max_bytes: Largest file that is accepted.
            progress: Called with the bytes that are there, and the file's size where known.
        """
        self.address = address
        self.sha256 = hashlib.sha256()
        self._file = file
        self._max_bytes = max_bytes
        self._progress = progress
        self._done = 0
        self._total: int | None = None
        self._validator: str | None = None

    def run(self, client: httpx.Client, received: Callable[[int], None]) -> None:
        """Send one request, for what is still missing if the server can tell, and store the answer.

        Args:
            client: Sends it.
            received: Called with the size of each piece in bytes.

        Raises:
            Transient: It failed, and another request may help.
            TransferError: It failed for good.
            OSError: The file can't be written.
        """
        answered = False
        try:
            with client.stream("GET", self.address, headers=self._headers()) as response:
                answered = True
                self._begin(response)
                # Raw, because only the bytes as sent can be counted for a resumption.
                for piece in response.iter_raw():
                    received(len(piece))
                    self._store(piece)
            if self._total is not None and self._done != self._total:
                raise Transient(f"the file is incomplete ({self._done} of {self._total} bytes)")
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise TransferError(f"is not an address to download from: {error}") from error
        except (httpx.ConnectTimeout, httpx.ConnectError, httpx.ProxyError) as error:
            raise TransferError(
                f"can't be reached ({error or 'no connection in time'}): check the network and "
                "the proxy settings (HTTPS_PROXY)"
            ) from error
        except httpx.ReadTimeout as error:
            if answered:
                raise Transient("the server fell silent") from error
            # Not worth another wait as long as this one.
            raise TransferError("the server does not answer; try again later") from error
        except httpx.TooManyRedirects as error:
            raise TransferError("redirects without end: check the address") from error
        except httpx.HTTPError as error:
            raise Transient(f"the connection broke ({error})") from error

    def _headers(self) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}
        if self._done and self._validator is not None:
            headers["Range"] = f"bytes={self._done}-"
            headers["If-Range"] = self._validator
        return headers

    def _begin(self, response: httpx.Response) -> None:
        """Look at the head of the answer and get ready for its body."""
        resuming = "Range" in response.request.headers
        if resuming and response.status_code in (206, 416):
            self._resume(response)
        elif response.status_code == 200:
            self._restart(response)
        else:
            error = Transient if response.status_code in _TRANSIENT else TransferError
            raise error(
                f"the server answers {_status_text(response.status_code)}",
                status=response.status_code,
            )
        self._check_size(self._total or 0)

    def _resume(self, response: httpx.Response) -> None:
        answered = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if response.status_code == 416 or answered is None or int(answered[1]) != self._done:
            # Without the validator the next request is for the whole file.
            self._validator = None
            raise Transient("the server can't resume the transfer")
        if answered[2] != "*":
            self._total = int(answered[2])

    def _restart(self, response: httpx.Response) -> None:
        headers = response.headers
        if headers.get("Content-Type", "").lower().startswith("text/html"):
            raise TransferError(
                "the server answers with a web page instead of the file: check the address, and "
                "whether the network asks for a login"
            )
        encoding = headers.get("Content-Encoding", "identity").lower()
        if encoding != "identity":
            raise TransferError(f"the server insists on Content-Encoding {encoding}: try another")
        etag = headers.get("ETag", "")
        # A weak tag does not promise the same bytes, so it is no ground to resume on.
        strong = etag if etag.startswith('"') else None
        self._validator = strong or headers.get("Last-Modified")
        length = headers.get("Content-Length", "")
        self._total = int(length) if length.isdecimal() else None
        self._file.seek(0)
        self._file.truncate()
        self.sha256 = hashlib.sha256()
        self._done = 0

    def _store(self, piece: bytes) -> None:
        self._check_size(self._done + len(piece))
        self._file.write(piece)
        self.sha256.update(piece)
        self._done += len(piece)
        self._progress(self._done, self._total)

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise TransferError(f"the file is larger than the {self._max_bytes} bytes allowed")


def _status_text(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
