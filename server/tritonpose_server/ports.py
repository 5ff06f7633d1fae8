"""Finding out before anything is started whether it can listen."""

from __future__ import annotations

import ipaddress
import socket

from tritonpose_server.errors import EmbeddedServerError


def bind(address: str, port: int | None) -> socket.socket:
    """Take a port for a moment.

    Args:
        address: Interface to listen on, a name or an IPv4 or IPv6 address.
        port: The port, None for a free one.

    Returns:
        A socket that holds the port until it is closed.

    Raises:
        EmbeddedServerError: It is taken, or can't be listened on.
    """
    holder = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        # What is left of connections of a server that has ended is no hindrance.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((address, port or 0))
    except OSError as error:
        holder.close()
        raise EmbeddedServerError(
            f"can't listen on {address}:{port or 0}: {error.strerror}; choose another port or "
            "stop the program that uses it"
        ) from error
    return holder


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach what listens on an interface.

    Args:
        address: A name or an IPv4 or IPv6 address.
    """
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
