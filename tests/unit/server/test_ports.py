"""Who can listen on a port that is held."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable

import pytest

from other_user import as_other_user
from tritonpose_server.errors import EmbeddedServerError, PortInUseError
from tritonpose_server.ports import bind, hold


def listen(port: int, *options: int, address: str = "127.0.0.1") -> bool:
    with socket.socket() as listener:
        for option in options:
            listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind((address, port))
        listener.listen()
    return True


def test_a_server_of_the_same_user_shares_it() -> None:
    with hold("127.0.0.1", None) as holder:
        port = holder.getsockname()[1]
        assert listen(port, socket.SO_REUSEPORT)
        with pytest.raises(OSError, match="in use"):
            listen(port, socket.SO_REUSEADDR)


def test_an_empty_address_opens_nothing() -> None:
    with pytest.raises(EmbeddedServerError, match="is empty: name one"):
        bind("", None)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_another_user_can_not_take_it(address: str) -> None:
    options = (socket.SO_REUSEADDR, socket.SO_REUSEPORT)
    with hold("127.0.0.1", None) as holder:
        port = holder.getsockname()[1]
        chosen = [each for count in range(3) for each in itertools.combinations(options, count)]

        def attack(options: tuple[int, ...]) -> Callable[[], bool]:
            return lambda: listen(port, *options, address=address)

        assert {as_other_user(attack(each)) for each in chosen} == {"OSError"}


@pytest.mark.parametrize("first", [hold, bind])
@pytest.mark.parametrize("second", [hold, bind])
def test_two_servers_never_get_one_port(
    first: Callable[..., socket.socket], second: Callable[..., socket.socket]
) -> None:
    with first("127.0.0.1", None) as holder:
        if first is bind:
            holder.listen()
        with pytest.raises(PortInUseError, match="choose another port"):
            second("127.0.0.1", holder.getsockname()[1])


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("192.0.2.1", "Cannot assign requested address; give an address of this machine"),
        ("none.invalid", "can't listen on none.invalid:0: .*; give an address of this machine"),
    ],
)
def test_addresses_of_others(address: str, words: str) -> None:
    with pytest.raises(EmbeddedServerError, match=words):
        bind(address, None)


@pytest.mark.parametrize("shared", [True, False])
def test_remains_of_connections_do_not_keep_a_port(shared: bool) -> None:
    with socket.socket() as listener:
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = listener.getsockname()
        client = socket.create_connection(address)
        # The server closes first.
        listener.accept()[0].close()
        client.close()
    with hold(*address) as holder:
        assert holder.getsockname() == address
