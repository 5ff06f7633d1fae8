"""Clients that mean harm, and one that doesn't, which is served as ever."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import requests

from rest_service import rest_service
from tritonpose_server.embedded.server import EmbeddedServer

ENDPOINT = "human-keypoint-detection"
HEAD = f"POST /{ENDPOINT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode()

LIMITS = {
    "max_connections": 200,
    # Fewer than there are clients of each kind.
    "max_in_flight": 16,
    "header_timeout": 1.0,
    "receive_timeout": 1.0,
    "max_body_bytes": 2_000_000,
    "max_bodies_bytes": 60_000_000,
}

# What a client sends first, what it sends again and again, and its pauses in seconds.
KINDS = {
    "drip_headers": (HEAD, b"X-Drip: 1\r\n", 0.1),
    "drip_a_body": (HEAD + b"Content-Length: 1000000\r\n\r\n{", b" ", 0.1),
    "declare_a_huge_body": (HEAD + b"Content-Length: 999999999999\r\n\r\n", bytes(65536), 0.02),
    "send_chunks_without_end": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        b"10000\r\n" + b" " * 65536 + b"\r\n",
        0.02,
    ),
    "say_nothing": (b"", b"", 30),
}
CLIENTS_OF_A_KIND = 30


@contextmanager
def attack(address: str) -> Iterator[Counter[str]]:
    """Keeps clients of each kind at work; counts what they were answered, and closed doors."""
    parts = urlsplit(address)
    outcomes: Counter[str] = Counter()
    over = threading.Event()

    async def send(writer: asyncio.StreamWriter, first: bytes, more: bytes, pause: float) -> None:
        writer.write(first)
        while True:
            await writer.drain()
            await asyncio.sleep(pause)
            writer.write(more)

    async def client(kind: str) -> None:
        while not over.is_set():
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            sending = asyncio.ensure_future(send(writer, *KINDS[kind]))
            try:
                with suppress(ConnectionError):
                    answer = (await reader.readline()).split(b" ")
                    outcomes[f"{kind} {answer[1].decode() if answer[0] else 'closed'}"] += 1
                    # Until the door is closed.
                    await reader.read()
            finally:
                sending.cancel()
                writer.close()
            await asyncio.gather(sending, return_exceptions=True)

    async def run() -> None:
        clients = [asyncio.ensure_future(client(kind)) for kind in [*KINDS] * CLIENTS_OF_A_KIND]
        while not over.is_set():
            await asyncio.sleep(0.05)
        for each in clients:
            each.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        yield outcomes
    finally:
        over.set()
        thread.join()


def test_one_who_means_no_harm_is_served(server: EmbeddedServer, photo: Path) -> None:
    half = cv2.resize(cv2.imread(str(photo)), None, fx=0.5, fy=0.5)
    image = base64.b64encode(cv2.imencode(".jpg", half)[1].tobytes()).decode()
    payload = {"image": image, "visualize": False}
    with rest_service(server.grpc_url, **LIMITS) as address:

        def ask() -> list[dict[str, object]]:
            response = requests.post(address + ENDPOINT, json=payload, timeout=60)
            assert response.status_code == 200, response.text
            persons: list[dict[str, object]] = response.json()["result"]["persons"]
            return persons

        expected = ask()
        assert len(expected) == 2
        with attack(address) as outcomes:
            answers = 0
            while answers < 30 or not all(
                outcomes[each] >= CLIENTS_OF_A_KIND
                for each in ("drip_headers 408", "drip_a_body 408", "say_nothing closed")
            ):
                # Each on a connection of its own.
                assert ask() == expected
                answers += 1
            assert outcomes["declare_a_huge_body 413"] >= CLIENTS_OF_A_KIND
            assert outcomes["send_chunks_without_end 413"] >= CLIENTS_OF_A_KIND
        assert ask() == expected
