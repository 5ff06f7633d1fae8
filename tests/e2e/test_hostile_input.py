"""Hostile input from all sides: each request gets its answer, and so does everybody beside it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from leftovers import descendants
from rest_service import rest_service
from tools.soak.clients import Clients
from tools.soak.context import Outcome, Report
from tools.soak.endpoints import Endpoint, open_endpoints
from tools.soak.hostile import refused_files, truncations, unusual_files
from tools.soak.mutations import PIXELS
from tools.soak.pictures import Picture, answered_pictures, cut_pictures, differences
from tools.soak.service import Addresses
from tritonpose.transport import connect
from tritonpose.transport.messages import InferRequest, PoseResponse
from tritonpose_server.embedded.server import EmbeddedServer

CONCURRENCY = 8


@pytest.fixture(scope="module")
def addresses(server: EmbeddedServer) -> Iterator[Addresses]:
    with rest_service(server.grpc_url) as root:
        yield Addresses(f"{root}human-keypoint-detection", server.grpc_url, server.http_url)


@pytest.fixture(scope="module")
def pictures(server: EmbeddedServer, photo: Path) -> list[Picture]:
    transport = connect(server.grpc_url)
    known = answered_pictures(
        cut_pictures(photo), lambda data: transport.infer(InferRequest(image=data))
    )
    transport.close()
    return known


@pytest.fixture(autouse=True)
def nothing_dies(server: EmbeddedServer) -> Iterator[None]:
    """No process of the server is started again meanwhile."""
    before = descendants(server.pid or 0)
    yield
    assert descendants(server.pid or 0) == before


Job = Callable[[Clients, Endpoint], Awaitable[object]]


def run(
    addresses: Addresses,
    pictures: Sequence[Picture],
    jobs: Sequence[Job],
    *,
    everywhere: bool = True,
) -> Report:
    """Do each job at every endpoint, or at one of them, with good requests beside them.

    All must end as they may.
    """
    report = Report("hostile input")

    async def work() -> None:
        endpoints = open_endpoints(addresses)
        clients = Clients(pictures, refused_files(PIXELS), report)
        queue = iter(
            [(job, endpoint) for job in jobs for endpoint in endpoints]
            if everywhere
            else list(zip(jobs, itertools.cycle(endpoints), strict=False))
        )

        async def worker() -> None:
            for number, (job, endpoint) in enumerate(queue):
                await job(clients, endpoint)
                if number % 4 == 0:
                    await clients.own_box(endpoint)

        await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
        for endpoint in endpoints:
            assert await clients.known(endpoint) == Outcome.ANSWERED
            await endpoint.close()

    asyncio.run(work())
    assert report.violations == []
    assert report.count(Outcome.REFUSED) == 0
    return report


def test_what_must_be_refused(addresses: Addresses, pictures: list[Picture]) -> None:
    files = refused_files(PIXELS)

    def job(data: bytes, name: str) -> Job:
        async def send(clients: Clients, endpoint: Endpoint) -> None:
            outcome = await clients.damaged(endpoint, data, name)
            assert outcome == Outcome.REJECTED, (endpoint.name, name)

        return send

    report = run(addresses, pictures, [job(file.data, file.name) for file in files])
    assert report.count(Outcome.REJECTED) == 4 * len(files)


def test_files_that_break_off(addresses: Addresses, pictures: list[Picture]) -> None:
    def job(name: str, data: bytes) -> Job:
        return lambda clients, endpoint: clients.damaged(endpoint, data, name)

    small = cv2.resize(PIXELS, (16, 12))
    run(
        addresses,
        pictures,
        [job(name, data) for name, data in truncations(small)],
        everywhere=False,
    )


def test_clients_that_hang_up(addresses: Addresses, pictures: list[Picture]) -> None:
    report = run(addresses, pictures, [lambda clients, endpoint: clients.hang_up(endpoint)] * 30)
    assert report.count(Outcome.CANCELLED) == 120


def test_everything_at_once(addresses: Addresses, pictures: list[Picture]) -> None:
    kinds: list[Job] = [
        lambda clients, endpoint: clients.known(endpoint),
        lambda clients, endpoint: clients.own_box(endpoint),
        lambda clients, endpoint: clients.refused(endpoint),
        lambda clients, endpoint: clients.hang_up(endpoint),
    ]
    run(addresses, pictures, kinds * 10)


def test_unusual_files_are_read_as_paddlex_reads_them(
    server: EmbeddedServer, photo: Path, tmp_path: Path
) -> None:
    """PaddleX reads files with ``cv2.imread``."""
    frame = cv2.imread(str(photo))[:480, 400:800]
    pixels = np.ascontiguousarray(cv2.resize(frame, (200, 240))[:, :, ::-1])
    transport = connect(server.grpc_url)
    people = []
    for file in unusual_files(pixels):
        path = tmp_path / "file"
        path.write_bytes(file.data)
        as_paddlex_reads_it: PoseResponse = transport.infer(
            InferRequest(frame=cv2.imread(str(path)))
        )
        answer = transport.infer(InferRequest(image=file.data))
        assert differences(answer, as_paddlex_reads_it) is None, file.name
        people.append(len(answer.boxes))
    transport.close()
    # Most of them show the person, whatever their colors and orientation.
    assert sum(count > 0 for count in people) > len(people) / 2
