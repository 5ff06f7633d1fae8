"""Many clients at once: everybody gets the right answer and nothing is left behind."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from leftovers import descendants, shared_memory
from tritonpose.transport import connect
from tritonpose.transport.messages import InferRequest, PoseResponse
from tritonpose_server.embedded.server import EmbeddedServer

CLIENTS = 16
REQUESTS = 200


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
    server: EmbeddedServer, pictures: list[bytes], url: str
) -> None:
    local = threading.local()
    connections = []

    def request(index: int) -> tuple[int, PoseResponse]:
        if not hasattr(local, "transport"):
            local.transport = connect(url)
            connections.append(local.transport)
        which = index % len(pictures)
        return which, local.transport.infer(InferRequest(image=pictures[which]))

    def storm() -> list[tuple[int, PoseResponse]]:
        with ThreadPoolExecutor(CLIENTS) as clients:
            return list(clients.map(request, range(REQUESTS)))

    alone = [request(index)[1] for index in range(len(pictures))]
    assert [len(answer.boxes) for answer in alone][4] == 0
    request(0)
    processes = descendants(server.pid or 0)
    memory = shared_memory(server.server_id)
    assert processes
    assert memory

    answers = storm()

    assert len(answers) == REQUESTS
    for which, answer in answers:
        expected = alone[which]
        assert len(answer.boxes) == len(expected.boxes)
        np.testing.assert_allclose(answer.boxes, expected.boxes, atol=0.01)
        np.testing.assert_allclose(answer.det_scores, expected.det_scores, atol=1e-4)
        np.testing.assert_allclose(answer.keypoints, expected.keypoints, atol=0.1)
    assert descendants(server.pid or 0) == processes
    assert shared_memory(server.server_id) == memory
    for connection in connections:
        connection.close()
