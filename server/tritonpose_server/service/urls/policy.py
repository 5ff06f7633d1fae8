"""Decide which URLs and which addresses may be fetched; needs no network."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, NamedTuple

from tritonpose_server.ports import url_host
from tritonpose_server.service.contract.failures import ServiceError, invalid_image
from tritonpose_server.service.urls.settings import DEFAULT_PORTS, UrlSettings

if TYPE_CHECKING:
    import httpx

_LONGEST = 8000

# After httpx has converted it to lower case and ASCII.
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")

# What the system's resolver may take for an IPv4 address: 127.1, 2130706433, 0x7f.1, 0177.0.0.1.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


# The only IPv6 addresses in use on the Internet (RFC 4291, section 2.4).
_UNICAST = IPv6Network("2000::/3")

# IPv4 addresses as seen from IPv6-only networks (RFC 6052).
_NAT64 = IPv6Network("64:ff9b::/96")

# No hosts that strangers serve images from: IANA's registries of special-purpose addresses, which
# `is_global` knows in part and differently in each version of Python, and services that clouds give
# their own machines at addresses that look public.
_NOT_HOSTS = tuple(
    map(
        ip_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
            *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16"),
            # Benchmarks, documentation, multicast, reserved.
            *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
            # AS112 (RFC 7534, 7535), AMT (RFC 7450), 6to4 relays (RFC 7526).
            *("192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.175.48.0/24"),
            # Azure's platform, IBM Cloud's services.
            *("168.63.129.16/32", "161.26.0.0/16", "166.8.0.0/14"),
            # Protocols, Teredo, benchmarks and ORCHID; documentation; 6to4; AS112.
            *("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
        ),
    )
)

# The third and fourth group of an interface that embeds its IPv4 address (ISATAP, RFC 5214).
_ISATAP = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")


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
        host = url_host(self.host)
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
    # Here, for it takes long to import, and few services fetch.
    import httpx

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
    if isinstance(address, IPv6Address):
        embedded = _embedded(address)
        if embedded is not None and not _is_host(embedded):
            return False
        if address.ipv4_mapped is not None or address in _NAT64:
            return True
        if address.scope_id is not None or address not in _UNICAST:
            return False
    return _is_host(address)


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


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that a packet to this one may end up at, if there is one."""
    packed = address.packed
    if address.ipv4_mapped is not None or address in _NAT64 or packed[8:12] in _ISATAP:
        return IPv4Address(packed[-4:])
    return None


def _is_host(address: IPv4Address | IPv6Address) -> bool:
    return not any(address in network for network in _NOT_HOSTS)
