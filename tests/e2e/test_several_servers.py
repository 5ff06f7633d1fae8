"""Servers that die and join under load: no answer is lost, and servers that join get requests.

With TRITONPOSE_TEST_KILLS=20 this many servers die per client, in turn.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from leftovers import alive, descendants, wait_until
from tritonpose import create_pipeline
from tritonpose_server.embedded.server import EmbeddedServer
from twins import ONE_OF_EACH, predict_each, url_of
from videos import panned

KILLS = int(os.environ.get("TRITONPOSE_TEST_KILLS", "1"))
TRAFFIC = 5
JOIN_SECONDS = 60


class Member:
    """A server among several that can be killed, at ports that stay the same."""

    def __init__(self, embed: Callable[..., EmbeddedServer]) -> None:
        self._embed = embed
        self._server = embed()
        self._server.start()

    def url(self, scheme: str) -> str:
        return url_of(self._server, scheme)

    def kill_triton(self) -> None:
        """Kills tritonserver; its guardian starts it again."""
        triton = [pid for pid in descendants(self._server.pid or 0) if runs_triton(pid)]
        kill(triton)

    def kill_everything(self) -> None:
        """Kills tritonserver and its guardian, as with the loss of a machine."""
        guardian = self._server.pid or 0
        kill([guardian, *descendants(guardian)])

    def join_again(self) -> None:
        """Starts a new server in the place of the one that was killed."""
        self._server.stop()
        ports = self._server.ports
        self._server = self._embed(
            grpc_port=ports.grpc, http_port=ports.http, metrics_port=ports.metrics
        )
        self._server.start()

    def answers(self) -> int:
        """How many requests it has answered since it started, as its metrics tell."""
        try:
            metrics = requests.get(self._server.metrics_url, timeout=10).text
        except requests.ConnectionError:
            return 0
        pattern = r'nv_inference_request_success{model="human_keypoint_detection",.*} (\d+)'
        found = re.search(pattern, metrics)
        return int(found[1]) if found else 0

    def stop(self) -> None:
        self._server.stop()


@pytest.fixture(scope="module")
def members(embed: Callable[..., EmbeddedServer]) -> Iterator[list[Member]]:
    """The servers that are killed in turn: for one kill, one beside the server of all tests."""
    with ExitStack() as running:
        made = []
        for _ in range(min(KILLS, 2)):
            made.append(Member(embed))
            running.callback(made[-1].stop)
        yield made


@ONE_OF_EACH
def test_servers_die_and_join_under_load(
    scheme: str,
    asynchronous: bool,
    server: EmbeddedServer,
    members: list[Member],
    photo: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    small = cv2.resize(cv2.imread(str(photo)), (480, 360)).astype(np.uint8)
    urls = [member.url(scheme) for member in members]
    if len(members) == 1:
        urls.append(url_of(server, scheme))
    sent, persons, joins = 0, [], []

    def frames_until(condition: Callable[[], bool]) -> Iterator[NDArray[np.uint8]]:
        nonlocal sent
        deadline = time.monotonic() + JOIN_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "a server got no requests"
            for _ in range(10):
                sent += 1
                yield small

    def load() -> Iterator[NDArray[np.uint8]]:
        for number in range(KILLS):
            member = members[number % len(members)]
            before = member.answers()
            yield from frames_until(lambda: member.answers() > before + TRAFFIC)  # noqa: B023
            lost_machine = number % 4 >= 2
            (member.kill_everything if lost_machine else member.kill_triton)()
            killed = time.monotonic()
            yield from frames_until(lambda: time.monotonic() > killed + 1)  # noqa: B023
            if lost_machine:
                # Blocks this loop, not the requests under way; in other rounds it goes on.
                member.join_again()
            yield from frames_until(lambda: member.answers() > TRAFFIC)  # noqa: B023
            joins.append(time.monotonic() - killed)

    predict_each(
        asynchronous, load(), lambda result: persons.append(len(result["boxes"])), url=urls
    )
    assert len(joins) == KILLS
    assert persons == [2] * sent
    if KILLS > 1:
        with capsys.disabled():
            told = f"{sent} images, {KILLS} kills; seconds until requests come again: "
            print(f"\n{told}{min(joins):.1f} to {max(joins):.1f}")


def test_people_keep_their_numbers_when_a_server_dies(
    server: EmbeddedServer, members: list[Member], photo: Path
) -> None:
    frames = panned(np.asarray(cv2.imread(str(photo)), np.uint8), 20)

    def frames_and_a_death() -> Iterator[NDArray[np.uint8]]:
        for number, frame in enumerate(frames):
            if number == 10:
                members[0].kill_triton()
            yield frame

    def follow(source: object, urls: list[str]) -> list[tuple[Any, Any]]:
        with create_pipeline("human_keypoint_detection", url=urls) as pipeline:
            return [
                (result.track_ids, result.json["res"]["boxes"]) for result in pipeline.track(source)
            ]

    expected = follow(frames, [server.grpc_url])
    assert all(1 in ids for ids, _ in expected)
    urls = [members[0].url("grpc"), server.grpc_url]
    assert follow(frames_and_a_death(), urls) == expected


def kill(processes: list[int]) -> None:
    assert processes
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    for pid in processes:
        os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not any(map(alive, processes)))


def runs_triton(pid: int) -> bool:
    return b"bin/tritonserver" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
