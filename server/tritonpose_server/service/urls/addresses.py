"""Telling public addresses from those that mean something only here."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

# Of IPv6 only this is handed out for use on the Internet (RFC 4291, section 2.4); `is_global`
# takes more for public.
_UNICAST = IPv6Network("2000::/3")

# IPv4 addresses as seen from networks that have IPv6 alone (RFC 6052).
_NAT64 = IPv6Network("64:ff9b::/96")

# Not private, yet nobody's host: protocol assignments (RFC 6890), 6to4 relays (RFC 7526),
# documentation (RFC 9637).
_NOBODYS = (
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv6Network("3fff::/20"),
)


def is_public(text: str) -> bool:
    """Whether an address is one that anybody on the Internet can reach.

    Args:
        text: An IPv4 or IPv6 address; with a zone (``fe80::1%eth0``) it is never public. An IPv6
            address that stands for one of IPv4 is judged by that one, too.

    Raises:
        ValueError: It is no address.
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


def _is_global(address: Address) -> bool:
    return (
        address.is_global
        and not (
            address.is_multicast
            or address.is_reserved
            or address.is_private
            or address.is_loopback
            or address.is_link_local
            or address.is_unspecified
        )
        and not any(address in network for network in _NOBODYS)
    )
