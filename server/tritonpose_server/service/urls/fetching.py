"""Fetch image files from public addresses, and from no others."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from http import HTTPStatus
from importlib.metadata import version

import certifi
import httpcore
import httptools

from tritonpose.file_types import is_server_format
from tritonpose_server.service.contract.failures import URL_HOST, ServiceError, invalid_image
from tritonpose_server.service.urls.policy import RefusedError, Target, check_url, is_public
from tritonpose_server.service.urls.settings import UrlSettings

MAX_REDIRECTS = 3

_READ_BYTES = 65_536
_MAX_HEAD_BYTES = 65_536

_REDIRECTS = frozenset({301, 302, 303, 307, 308})

TakeMemory = Callable[[int], None]
"""Called with a number of further bytes before they are kept; raises ServiceError for too many."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the IP addresses of a host, at least one; raises OSError if there are none."""

# Threads of their own: a silent name server blocks each for half a minute.
_RESOLVERS = ThreadPoolExecutor(16, thread_name_prefix="resolve")


async def resolve(host: str, port: int) -> list[str]:
    """Ask the system for the addresses of a host; see `Resolve`."""
    found = await asyncio.get_running_loop().run_in_executor(
        _RESOLVERS, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    )
    return [str(address[0]) for *_, address in found]


class ImageFetcher:
    """Fetches image files. Keeps nothing between two files, so it works in any event loop.

    Proxies and passwords in the environment are not used.
    """

    def __init__(
        self,
        settings: UrlSettings,
        *,
        resolve: Resolve = resolve,
        network: httpcore.AsyncNetworkBackend | None = None,
        trust: Callable[[], ssl.SSLContext] = lambda: ssl.create_default_context(
            cafile=certifi.where()
        ),
    ) -> None:
        """Prepare to fetch.

        ``resolve`` returns the addresses of a host, ``network`` connects to addresses (default:
        anyio's), ``trust`` makes the TLS context that checks hosts' certificates.
        """
        self._settings = settings
        self._network = PublicNetwork(resolve, network or httpcore.AnyIOBackend())
        self._trust = trust

    async def fetch(self, url: str, take_memory: TakeMemory = lambda _count: None) -> bytes:
        """Fetch an image file; only its first bytes are checked to be those of an image.

        ``take_memory`` is called with the number of further bytes; what it raises ends the fetch.
        Raises ServiceError: 403 if the URL, or one that it redirects to, must not be fetched; 413
        if the file is too large, 422 if it is not an image or the URL is not valid, 502 if the host
        doesn't send it, 504 if it doesn't in time.
        """
        settings = self._settings
        if not settings.schemes:
            raise ServiceError(
                HTTPStatus.FORBIDDEN,
                "`image` is a URL, and URLs are off on this server: send the bytes of an image "
                "file, base64-encoded",
            )
        try:
            data = await asyncio.wait_for(
                self._follow(check_url(url, settings), take_memory), settings.timeout
            )
        except asyncio.TimeoutError:
            raise ServiceError(
                HTTPStatus.GATEWAY_TIMEOUT,
                f"the host of the URL did not send the image within {settings.timeout:g} s "
                "(url_timeout)",
                reason=URL_HOST,
            ) from None
        if not is_server_format(data):
            # Don't reveal content not meant for this client.
            raise invalid_image("image", "the URL does not lead to a JPEG, PNG, WebP or BMP file")
        return data

    async def _follow(self, target: Target, take_memory: TakeMemory) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._ask(target, take_memory)
            if isinstance(answer, bytes):
                return answer
            try:
                target = check_url(answer, self._settings, target.url)
            except RefusedError as error:
                raise RefusedError(f"in the URL that it redirects to, {error.rule}") from None
            except ServiceError:
                raise _bad_gateway("redirects to something that is not a URL") from None
        raise _bad_gateway(f"redirects more than {MAX_REDIRECTS} times")

    async def _ask(self, target: Target, take_memory: TakeMemory) -> bytes | str:
        """Return the file, or the URL that its host redirects to."""
        lines = (
            f"Host: {target.netloc}",
            f"User-Agent: tritonpose/{version('tritonpose')}",
            "Accept: image/jpeg, image/png, image/webp, image/bmp",
            # A small file that decompresses to a large one is not for us.
            "Accept-Encoding: identity",
            "Connection: close",
        )
        head = b"GET %b HTTP/1.1\r\n%b\r\n\r\n" % (target.path, "\r\n".join(lines).encode("ascii"))
        try:
            stream = await self._network.connect(target.host, target.port)
            try:
                if target.scheme == "https":
                    stream = await stream.start_tls(self._tls, server_hostname=target.host)
                await stream.write(head)
                return await self._read(stream, take_memory)
            finally:
                await stream.aclose()
        except (httpcore.NetworkError, httptools.HttpParserError, OSError) as error:
            raise _bad_gateway(f"gave no valid answer ({error})") from error

    async def _read(
        self, stream: httpcore.AsyncNetworkStream, take_memory: TakeMemory
    ) -> bytes | str:
        limit = self._settings.max_bytes
        answer = _Answer()
        head_bytes = 0
        while not answer.complete:
            data = await stream.read(_READ_BYTES)
            take_memory(len(data))
            answer.take(data)
            if not answer.begun:
                head_bytes += len(data)
                if head_bytes > _MAX_HEAD_BYTES:
                    raise _bad_gateway("gave no valid answer (its headers do not end)")
                continue
            if answer.status in _REDIRECTS:
                if b"location" not in answer.headers:
                    raise _bad_gateway("redirects without a location")
                return answer.headers[b"location"].decode("latin-1")
            if answer.status != HTTPStatus.OK:
                raise _bad_gateway(f"answered with status {answer.status}")
            if answer.headers.get(b"content-encoding", b"").lower() not in (b"", b"identity"):
                raise _bad_gateway("sent the file compressed, although that was not requested")
            if max(len(answer.body), int(answer.headers.get(b"content-length", 0))) > limit:
                raise _too_large(limit)
        return bytes(answer.body)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._trust()


class _Answer:
    """What a host answers, parsed as it comes.

    By a parser in C: that of httpcore is in Python, and a host that sends one-byte chunks keeps it
    busy for 7 us each, while nothing else runs.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = bytearray()
        # Whether its headers have come, and all of it.
        self.begun = False
        self.complete = False

    def take(self, data: bytes) -> None:
        """Parse some bytes, none at the end; HttpParserError if they are no answer."""
        try:
            if data:
                self._parser.feed_data(data)
            elif self.begun and not {b"content-length", b"transfer-encoding"} & self.headers.keys():
                self.complete = True
            elif not self.complete:
                raise httptools.HttpParserError("it ended too early")
        except httptools.HttpParserUpgrade as error:
            raise httptools.HttpParserError("it changes to another protocol") from error
        except httptools.HttpParserError:
            # What comes behind the answer does not matter.
            if not self.complete:
                raise

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.begun:
            self.headers[name.lower()] = value.strip()

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        # Those below are only hints.
        self.begun = self.status >= HTTPStatus.OK
        if not self.begun:
            self.headers.clear()

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = self.begun


class PublicNetwork:
    """Resolves a name once and connects to its addresses, if all of them are public.

    The name is not looked up again between the check and the connection, so a name server that
    changes its answer gains nothing.
    """

    def __init__(self, resolve: Resolve, network: httpcore.AsyncNetworkBackend) -> None:
        """Wrap a network; it is called with addresses from ``resolve`` only, never with names."""
        self._resolve = resolve
        self._network = network

    async def connect(self, host: str, port: int) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of a host that answers; httpcore.ConnectError if none does.

        Raises RefusedError if one of its addresses is not public.
        """
        try:
            addresses = list(dict.fromkeys(await self._resolve(host, port)))
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError("its name can't be resolved") from error
        if not all(map(is_public, addresses)):
            # Without the address, which the client need not know.
            raise RefusedError("its host has an address that is not public")
        failure = httpcore.ConnectError("its name has no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(address, port)
            except httpcore.ConnectError as error:  # noqa: PERF203 (few, and none is quick)
                failure = error
        raise failure


def _bad_gateway(what: str) -> ServiceError:
    return ServiceError(HTTPStatus.BAD_GATEWAY, f"the host of the URL {what}")


def _too_large(limit: int) -> ServiceError:
    return ServiceError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the image at the URL is larger than the {limit / 1e6:g} MB accepted (url_max_bytes)",
    )
