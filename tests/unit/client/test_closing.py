"""Closed pipelines leave no file descriptors and no threads."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tritonpose import KeypointResult, ServerUnavailableError, create_pipeline
from twins import EVERY_CLIENT, predict_all

IMAGES = [np.zeros((4, 6, 3), np.uint8)] * 4


class Full(BaseHTTPRequestHandler):
    """Answers as a server without room."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Tests look at the results."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Full) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def held() -> list[int]:
    """Count file descriptors and threads, once those of the server's connections have ended."""
    counts, before = [0, 0], None
    while counts != before:
        before = counts
        time.sleep(0.1)
        counts = [len([*Path("/proc/self/fd").iterdir()]), threading.active_count()]
    return counts


def no_more(after: list[int], before: list[int], slack: int = 0) -> bool:
    return all(now <= then + slack for now, then in zip(after, before, strict=True))


def all_unavailable(results: list[KeypointResult]) -> bool:
    return all(isinstance(result.error, ServerUnavailableError) for result in results)


@EVERY_CLIENT
def test_a_hundred_pipelines(scheme: str, asynchronous: bool, port: int) -> None:
    # To gRPC this server isn't one, which is unavailable as well.
    arguments = {"url": f"{scheme}://127.0.0.1:{port}", "retries": 0, "on_error": "collect"}

    def use(count: int) -> list[int]:
        for _ in range(count):
            assert all_unavailable(predict_all(asynchronous, IMAGES, **arguments))
        gc.collect()
        return held()

    before = use(3)
    # gRPC closes a few descriptors later; if each pipeline left one, there were a hundred more.
    assert no_more(use(100), before, slack=10)


def test_a_forgotten_pipeline_ends_its_thread(port: int) -> None:
    def forget() -> None:
        pipeline = create_pipeline(
            "human_keypoint_detection", url=f"http://127.0.0.1:{port}", retries=0
        )
        assert all_unavailable(list(pipeline.predict(IMAGES, on_error="collect")))

    before = held()
    for _ in range(3):
        forget()
        gc.collect()
    assert no_more(held(), before)
