"""Checks addresses to listen on before anything is started."""

from __future__ import annotations

import errno
import ipaddress
import socket

from tritonpose_server.errors import EmbeddedServerError, PortInUseError


def bind(address: str, port: int | None) -> socket.socket:
    """Hold a port, None for a free one, of an interface: a name or an IPv4 or IPv6 address.

    The socket holds it until it is closed. Raises PortInUseError if it is taken,
    EmbeddedServerError if the address can't be listened on, or is empty.
    """
    if not address:
        # To the system that is every interface.
        raise EmbeddedServerError("the address to listen on is empty: name one, such as 127.0.0.1")
    holder = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        # Remains of a former server's connections don't count.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((address, port or 0))
    except OSError as error:
        holder.close()
        taken = error.errno == errno.EADDRINUSE
        advice = {
            errno.EADDRINUSE: "; choose another port or stop the program that uses it",
            errno.EACCES: "; choose a port from 1024 on, which needs no rights",
        }
        raise (PortInUseError if taken else EmbeddedServerError)(
            f"can't listen on {address}:{port or 0}: {error.strerror}"
            + advice.get(error.errno or 0, "; give an address of this machine")
        ) from error
    return holder


def hold(address: str, port: int | None) -> socket.socket:
    """Hold a port that programs of this user, but no others, can listen on meanwhile.

    They must ask for a shared port (``SO_REUSEPORT``); the holder itself never gets a connection.
    Otherwise as `bind`; a port that another server of this user holds is taken, too.
    """
    # A shared port would not tell that another server of this user has it.
    with bind(address, port) as free:
        name = free.getsockname()
    holder = socket.socket(free.family)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        try:
            holder.bind(name)
        except OSError:
            # Remains of the connections of a server that did not share it. Until its next start the
            # port is held less well.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(name)
    except OSError as error:
        holder.close()
        raise PortInUseError(
            f"another program has taken {address}:{name[1]} a moment ago; try again"
        ) from error
    return holder


def url_host(address: str) -> str:
    """Write an interface, by its name or address, as the host of a URL."""
    return f"[{address}]" if ":" in address else address


def is_loopback(address: str) -> bool:
    """Return whether only this machine can reach an interface, by its name or address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
