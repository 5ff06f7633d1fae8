"""From a URL to the bytes of an image file."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import cached_property
from http import HTTPStatus
from importlib.metadata import version

import certifi
import httpcore

from tritonpose.file_types import is_server_format
from tritonpose_server.service.contract.failures import ServiceError, invalid_image
from tritonpose_server.service.urls.network import PublicNetwork, Resolve, resolve
from tritonpose_server.service.urls.policy import RefusedError, Target, check_url
from tritonpose_server.service.urls.settings import UrlSettings

MAX_REDIRECTS = 3

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class ImageFetcher:
    """Fetches image files. Keeps nothing between two files, so it serves any event loop.

    Proxies, passwords and the like that the environment names are not used.
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

        Args:
            settings: Which URLs are fetched, and how much of them.
            resolve: Gives the addresses of a host.
            network: Makes connections to addresses; default: anyio's.
            trust: Makes the TLS context that checks hosts' certificates.
        """
        self._settings = settings
        self._network = PublicNetwork(resolve, network or httpcore.AnyIOBackend())
        self._trust = trust

    async def fetch(self, url: str) -> bytes:
        """Fetches an image file.

        Args:
            url: Where it is.

        Returns:
            Its bytes, which begin like an image; no more is known of them.

        Raises:
            ServiceError: 403 if the URL, or one that it redirects to, is not to be fetched; 413
                if the file is too large, 422 if it is no image or the URL is none, 502 if its
                host doesn't give it, 504 if it doesn't within the time.
        """
        settings = self._settings
        if not settings.schemes:
            raise ServiceError(
                HTTPStatus.FORBIDDEN,
                "`image` is a URL, and URLs are off on this server: send the bytes of an image "
                "file, base64-encoded",
            )
        try:
            data = await asyncio.wait_for(self._follow(check_url(url, settings)), settings.timeout)
        except asyncio.TimeoutError:
            raise ServiceError(
                HTTPStatus.GATEWAY_TIMEOUT,
                f"the host of the URL did not give the image within {settings.timeout:g} s",
            ) from None
        if not is_server_format(data):
            # Nothing of what it is: not all that a host says is meant for whoever asks here.
            raise invalid_image("image", "the URL leads to no JPEG, PNG, WebP or BMP file")
        return data

    async def _follow(self, target: Target) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._ask(target)
            if isinstance(answer, bytes):
                return answer
            try:
                target = check_url(answer, self._settings, target.url)
            except RefusedError as error:
                raise RefusedError(f"of what it redirects to, {error.rule}") from None
            except ServiceError:
                raise _bad_gateway("redirects to what is no URL") from None
        raise _bad_gateway(f"redirects more than {MAX_REDIRECTS} times")

    async def _ask(self, target: Target) -> bytes | str:
        """Gives the file, or where it is to be found instead."""
        url = httpcore.URL(
            scheme=target.scheme, host=target.host, port=target.port, target=target.path
        )
        headers = {
            "Host": target.netloc,
            "User-Agent": f"tritonpose/{version('tritonpose')}",
            "Accept": "image/jpeg, image/png, image/webp, image/bmp",
            # A small file that decompresses to a large one is not for us.
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        try:
            async with (
                httpcore.AsyncConnectionPool(
                    self._tls if target.scheme == "https" else None,
                    max_connections=1,
                    network_backend=self._network,
                ) as pool,
                pool.stream("GET", url, headers=list(headers.items())) as response,
            ):
                return await self._read(response)
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            raise _bad_gateway(f"did not answer as it should ({error})") from error

    async def _read(self, response: httpcore.Response) -> bytes | str:
        headers = {name.lower(): value.decode("latin-1") for name, value in response.headers}
        if response.status in _REDIRECTS:
            if b"location" not in headers:
                raise _bad_gateway("redirects without saying where to")
            return headers[b"location"]
        if response.status != HTTPStatus.OK:
            raise _bad_gateway(f"answered with status {response.status}")
        encoding = headers.get(b"content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise _bad_gateway("sent the file compressed, without having been asked to")
        limit = self._settings.max_bytes
        if int(headers.get(b"content-length", 0)) > limit:
            raise _too_large(limit)
        data = bytearray()
        async for chunk in response.aiter_stream():
            data += chunk
            if len(data) > limit:
                raise _too_large(limit)
        return bytes(data)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._trust()


def _bad_gateway(what: str) -> ServiceError:
    return ServiceError(HTTPStatus.BAD_GATEWAY, f"the host of the URL {what}")


def _too_large(limit: int) -> ServiceError:
    return ServiceError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the image at the URL is larger than the {limit / 1e6:g} MB accepted",
    )
