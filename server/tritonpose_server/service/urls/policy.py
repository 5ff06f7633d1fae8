"""What of a URL can be judged before anything is asked."""

from __future__ import annotations

import ipaddress
import re
from http import HTTPStatus
from typing import NamedTuple

import httpx

from tritonpose_server.service.contract.failures import ServiceError, invalid_image
from tritonpose_server.service.urls.settings import DEFAULT_PORTS, UrlSettings

_LONGEST = 8000

# After httpx has put it into lower case and ASCII.
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")

# What the system's resolver may take for an IPv4 address: 127.1, 2130706433, 0x7f.1, 0177.0.0.1.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class Target(NamedTuple):
    """A URL that may be asked.

    Attributes:
        scheme: ``https`` or ``http``.
        host: Host name, or IP address without brackets; ASCII, lower case.
        port: TCP port.
        path: Path and query, percent-encoded.
        url: All of it, for redirects that are relative to it.
    """

    scheme: str
    host: str
    port: int
    path: bytes
    url: httpx.URL

    @property
    def netloc(self) -> str:
        """What the header ``Host`` says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


class RefusedError(ServiceError):
    """An error 403: a rule forbids to fetch the URL.

    Attributes:
        rule: What is wrong with it.
    """

    def __init__(self, rule: str) -> None:
        super().__init__(
            HTTPStatus.FORBIDDEN,
            f"this server does not fetch the URL: {rule}; send the bytes of the image, "
            "base64-encoded",
        )
        self.rule = rule


def check_url(text: str, settings: UrlSettings, base: httpx.URL | None = None) -> Target:
    """Judges a URL by itself; the addresses of its host are judged when it is connected.

    Args:
        text: The URL.
        settings: Which ones are fetched.
        base: Of a redirect, the URL that led here.

    Raises:
        RefusedError: It isn't to be fetched.
        ServiceError: 422 if it is none.
    """
    try:
        if len(text) > _LONGEST:
            raise httpx.InvalidURL(f"it has more than {_LONGEST} characters")
        url = httpx.URL(text) if base is None else base.join(text)
        host = url.raw_host.decode("ascii")
    except (httpx.InvalidURL, ValueError) as error:
        raise invalid_image("url", f"`image` is no valid URL: {error}") from None
    if url.scheme not in settings.schemes:
        allowed = " and ".join(f"{scheme}:" for scheme in settings.schemes)
        raise RefusedError(f"its scheme is {url.scheme[:20]!r}, and only {allowed} is fetched")
    if url.userinfo:
        raise RefusedError("it holds a user name or password")
    host = _checked_host(host.removesuffix("."), settings)
    usual = DEFAULT_PORTS[url.scheme]
    port = usual if url.port is None else url.port
    if port != usual and port not in settings.ports:
        raise RefusedError(f"port {port} is not allowed, {usual} is")
    return Target(url.scheme, host, port, url.raw_path, url)


def _checked_host(host: str, settings: UrlSettings) -> str:
    if not _is_address(host):
        if _NUMBER.fullmatch(host.rpartition(".")[2]):
            raise RefusedError("its host is a number that is no IP address in the usual notation")
        if not _NAME.fullmatch(host):
            raise invalid_image("url", "`image` is a URL without a valid host name")
    if settings.hosts and not any(_matches(host, pattern) for pattern in settings.hosts):
        raise RefusedError("its host is not among those that are allowed")
    return host


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    # A zone means one of this machine's networks.
    return "%" not in host


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
