"""Many clients at once: everybody gets the right answer and nothing is left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import cv2
import numpy as np
import pytest

from leftovers import descendants, shared_memory
from tools.soak.endpoints import Endpoint, open_endpoints
from tools.soak.service import Addresses
from tritonpose.transport.messages import InferRequest, PoseResponse
from tritonpose_server.embedded.server import EmbeddedServer

CLIENTS = 16
REQUESTS = 32


@pytest.fixture(scope="module")
def pictures(photo: Path) -> list[bytes]:
    """Pictures that differ in size and in who is on them, so that swapped answers show."""
    frame = cv2.imread(str(photo))
    variants = [
        frame,
        cv2.flip(frame, 1),
        frame[:480, 400:800],
        frame[500:, 1150:1650],
        np.full((200, 300, 3), 90, np.uint8),
        cv2.resize(frame, None, fx=0.6, fy=0.5),
    ]
    return [cv2.imencode(".jpg", variant)[1].tobytes() for variant in variants]


def test_all_answers_right_and_nothing_grows(
    server: EmbeddedServer, addresses: Addresses, pictures: list[bytes]
) -> None:
    """At every endpoint; those of PaddleX's contract check that an answer has its request's id."""
    requests = [InferRequest(image=picture) for picture in pictures]

    async def storm(endpoint: Endpoint) -> list[PoseResponse]:
        gate = asyncio.Semaphore(CLIENTS)

        async def ask(index: int) -> PoseResponse:
            async with gate:
                return await endpoint.infer(requests[index % len(requests)])

        return await asyncio.gather(*map(ask, range(REQUESTS)))

    async def check(endpoint: Endpoint) -> None:
        alone = [await endpoint.infer(request) for request in requests]
        assert [len(answer.boxes) for answer in alone][4] == 0
        processes = descendants(server.pid or 0)
        memory = shared_memory(server.server_id)
        assert processes
        assert memory
        for index, answer in enumerate(await storm(endpoint)):
            expected = alone[index % len(requests)]
            assert len(answer.boxes) == len(expected.boxes)
            np.testing.assert_allclose(answer.boxes, expected.boxes, atol=0.01)
            np.testing.assert_allclose(answer.det_scores, expected.det_scores, atol=1e-4)
            np.testing.assert_allclose(answer.keypoints, expected.keypoints, atol=0.1)
        assert descendants(server.pid or 0) == processes
        # That of the HPS model grows with the texts that it holds at once.
        if endpoint.name != "HPS":
            assert shared_memory(server.server_id) == memory

    async def work() -> None:
        for endpoint in open_endpoints(addresses):
            await check(endpoint)
            await endpoint.close()

    asyncio.run(work())
