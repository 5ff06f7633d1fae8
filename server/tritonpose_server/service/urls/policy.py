"""Decide which URLs and which addresses may be fetched; needs no network."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

import httpx

from tritonpose_server.service.contract.failures import ServiceError, invalid_image
from tritonpose_server.service.urls.settings import DEFAULT_PORTS, UrlSettings

_LONGEST = 8000

# After httpx has converted it to lower case and ASCII.
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")

# What the system's resolver may take for an IPv4 address: 127.1, 2130706433, 0x7f.1, 0177.0.0.1.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


# The only IPv6 addresses in use on the Internet (RFC 4291, section 2.4); `is_global` accepts
# more.
_UNICAST = IPv6Network("2000::/3")

# IPv4 addresses as seen from IPv6-only networks (RFC 6052).
_NAT64 = IPv6Network("64:ff9b::/96")

# Not private, but not hosts either: protocol assignments (RFC 6890), 6to4 relays (RFC 7526),
# documentation (RFC 9637).
_NOT_HOSTS = (
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv6Network("3fff::/20"),
)


class Target(NamedTuple):
    """A URL that may be fetched.

    ``host`` has no brackets and is ASCII, lower case; ``path`` includes the query, percent-encoded;
    the whole ``url`` is for redirects relative to it.
    """

    scheme: str
    host: str
    port: int
    path: bytes
    url: httpx.URL

    @property
    def netloc(self) -> str:
        """Value of the header ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


class RefusedError(ServiceError):
    """An error 403: a rule forbids fetching the URL; ``rule`` says what is wrong with it."""

    def __init__(self, rule: str) -> None:
        super().__init__(
            HTTPStatus.FORBIDDEN,
            f"this server does not fetch the URL: {rule}; send the bytes of the image, "
            "base64-encoded",
        )
        self.rule = rule


def check_url(text: str, settings: UrlSettings, base: httpx.URL | None = None) -> Target:
    """Check a URL by itself; the addresses of its host are checked when it is connected.

    ``base`` is the URL that a redirect came from. Raises RefusedError if it must not be fetched,
    ServiceError 422 if it is not a valid URL.
    """
    try:
        if len(text) > _LONGEST:
            raise httpx.InvalidURL(f"it has more than {_LONGEST} characters")
        url = httpx.URL(text) if base is None else base.join(text)
        host = url.raw_host.decode("ascii")
    except (httpx.InvalidURL, ValueError) as error:
        raise invalid_image("url", f"`image` is not a valid URL: {error}") from None
    if url.scheme not in settings.schemes:
        allowed = " and ".join(f"{scheme}:" for scheme in settings.schemes)
        raise RefusedError(f"its scheme is {url.scheme[:20]!r}, and only {allowed} is allowed")
    if url.userinfo:
        raise RefusedError("it holds a user name or password")
    host = _checked_host(host.removesuffix("."), settings)
    usual = DEFAULT_PORTS[url.scheme]
    port = usual if url.port is None else url.port
    if port != usual and port not in settings.ports:
        raise RefusedError(f"port {port} is not allowed, {usual} is")
    return Target(url.scheme, host, port, url.raw_path, url)


def matches(host: str, patterns: Iterable[str]) -> bool:
    """Return whether a host name is one of those given; ``*.example.com`` is all below it."""
    return any(
        host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
        for pattern in patterns
    )


def is_public(text: str) -> bool:
    """Return whether an IP address can be reached from anywhere; ValueError if it is none.

    With a zone (``fe80::1%eth0``) it is never public. An IPv6 address that embeds one of IPv4 is
    public only if that one is.
    """
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return _is_global(address)
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return _is_global(address.ipv4_mapped)
    if address in _NAT64:
        return _is_global(IPv4Address(address.packed[-4:]))
    tunnelled = [address.sixtofour, *(address.teredo or ())]
    return (
        address in _UNICAST
        and _is_global(address)
        and all(_is_global(inner) for inner in tunnelled if inner is not None)
    )


def _checked_host(host: str, settings: UrlSettings) -> str:
    if not _is_address(host):
        if _NUMBER.fullmatch(host.rpartition(".")[2]):
            raise RefusedError("its host is a number, but not an IP address in the usual notation")
        if not _NAME.fullmatch(host):
            raise invalid_image("url", "`image` is a URL without a valid host name")
    if settings.hosts and not matches(host, settings.hosts):
        raise RefusedError("its host is not one of the allowed hosts")
    return host


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    # A zone names one of this machine's networks.
    return "%" not in host


def _is_global(address: IPv4Address | IPv6Address) -> bool:
    return (
        address.is_global
        and not (address.is_multicast or address.is_reserved)
        and not any(address in network for network in _NOT_HOSTS)
    )
