"""Whatever process of a server dies, the server comes back by itself."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import tritonclient.grpc as triton
from websockets.sync.client import connect as connect_websocket

from leftovers import alive, descendants, shared_memory, wait_until
from other_user import as_other_user, ports_taken
from rest_service import rest_service
from service_clients import HpsClient, encoded
from tritonpose.errors import ServerUnavailableError
from tritonpose.transport import connect
from tritonpose.transport.messages import InferRequest, PoseResponse
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.supervision.cleanup import python_environments

CLIENTS = 2
RECOVERY_SECONDS = 30


@pytest.fixture(scope="module")
def own_server(embed: Callable[..., EmbeddedServer]) -> Iterator[EmbeddedServer]:
    with embed(hang_timeout=4, control_key="secret") as running:
        yield running


def process_of(server: EmbeddedServer, words: str) -> int:
    """The one process of a server whose command line has these words."""
    assert server.pid is not None
    (found,) = (
        pid
        for pid in descendants(server.pid)
        if words in Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    )
    return found


class Load:
    """Clients that ask without end and look at each answer."""

    def __init__(self, url: str, photo: Path) -> None:
        self._transport = connect(url, timeout=20.0)
        self._request = InferRequest(image=photo.read_bytes())
        self._expected = self._transport.infer(self._request)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]
        self.answers: list[float] = []
        self.failures: list[Exception] = []
        self.wrong: list[PoseResponse] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._transport.close()

    def answered_since(self, moment: float) -> int:
        return sum(answered > moment for answered in self.answers)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                answer = self._transport.infer(self._request)
            except Exception as error:
                self.failures.append(error)
                time.sleep(0.05)
                continue
            expected = self._expected.keypoints
            if answer.keypoints.shape != expected.shape or not np.allclose(
                answer.keypoints, expected, atol=1e-3
            ):
                self.wrong.append(answer)
            self.answers.append(time.monotonic())


@pytest.mark.parametrize(
    "victim",
    [
        "human_keypoint_detection_0_0",
        "NanoDet_person_416_0_0",
        "MoveNet-Thunder_256x192_0_0",
        "--id=",
    ],
    ids=["pipeline", "detector", "keypoint model", "tritonserver"],
)
def test_a_killed_process_comes_back(own_server: EmbeddedServer, photo: Path, victim: str) -> None:
    with Load(own_server.grpc_url, photo) as load:
        assert wait_until(lambda: len(load.answers) >= 2 * CLIENTS)
        os.kill(process_of(own_server, victim), signal.SIGKILL)
        killed = time.monotonic()
        # Enough of them that the clients go on as before.
        assert wait_until(
            lambda: load.answered_since(killed + 0.5) >= 5 * CLIENTS, RECOVERY_SECONDS
        )
    assert load.wrong == []
    # Requests in flight are refused as unavailable.
    assert {type(failure) for failure in load.failures} <= {ServerUnavailableError}
    assert own_server.poll() is None


def test_a_dead_server_leaves_no_shared_memory_and_no_directory(
    own_server: EmbeddedServer, photo: Path
) -> None:
    with Load(own_server.grpc_url, photo) as load:
        before = set(shared_memory(own_server.server_id))
        directories = python_environments()
        os.kill(process_of(own_server, "--id="), signal.SIGKILL)
        killed = time.monotonic()
        assert wait_until(lambda: load.answered_since(killed + 0.5) > 0, RECOVERY_SECONDS)
        after = set(shared_memory(own_server.server_id))
        # Those of the new server, but not those of the old one.
        assert directories - python_environments()
    assert len(after) == len(before) > 0
    assert not after & before


def test_people_of_a_stream_keep_their_ids(own_server: EmbeddedServer, photo: Path) -> None:
    image = photo.read_bytes()
    with (
        rest_service(own_server.grpc_url) as address,
        connect_websocket(
            f"{address.replace('http', 'ws', 1)}human-keypoint-detection/track", proxy=None
        ) as stream,
    ):

        def answer() -> dict[str, Any]:
            stream.send(image)
            document: dict[str, Any] = json.loads(stream.recv(30))
            return document

        def ids(document: dict[str, Any]) -> list[int | None]:
            return [person["trackId"] for person in document["result"]["persons"]]

        stream.send('{"detInterval": 1}')
        assert json.loads(stream.recv(30))["errorMsg"] == "Ready"
        for _ in range(3):
            before = ids(answer())
        os.kill(process_of(own_server, "--id="), signal.SIGKILL)
        failures = []
        while (document := answer())["errorCode"]:
            failures.append(document["errorCode"])
            assert len(failures) < 10 * RECOVERY_SECONDS
            time.sleep(0.1)
        after = ids(document)
    assert set(failures) == {503}
    assert after == before != []


@pytest.mark.parametrize(
    "victim", ["NanoDet_person_416_0_0", "--id="], ids=["model", "tritonserver"]
)
def test_a_process_that_hangs_is_replaced(
    own_server: EmbeddedServer, photo: Path, victim: str
) -> None:
    hanging = process_of(own_server, victim)
    os.kill(hanging, signal.SIGSTOP)
    assert wait_until(lambda: not alive(hanging))
    with closing(connect(own_server.grpc_url, timeout=60.0, retries=100)) as transport:
        assert len(transport.infer(InferRequest(image=photo.read_bytes())).boxes) == 2


def test_a_model_that_is_unloaded_is_no_fault(
    own_server: EmbeddedServer, installed_open_models: list[Path]
) -> None:
    triton_process = process_of(own_server, "--id=")
    stub = process_of(own_server, f"{installed_open_models[0].name}_0_0")
    key = own_server.control_headers
    with triton.InferenceServerClient(own_server.grpc_url.removeprefix("grpc://")) as client:
        client.unload_model(installed_open_models[0].name, headers=key)
        assert wait_until(lambda: not alive(stub))
        # Time enough for a supervisor that takes this for a fault.
        time.sleep(1)
        assert alive(triton_process)
        client.load_model(installed_open_models[0].name, headers=key)
    assert process_of(own_server, "--id=") == triton_process


def test_the_hps_model_tells_that_the_pipeline_is_unloaded(
    own_server: EmbeddedServer, photo: Path
) -> None:
    hps, key = HpsClient(own_server.grpc_url), own_server.control_headers
    with triton.InferenceServerClient(own_server.grpc_url.removeprefix("grpc://")) as client:
        client.unload_model("human_keypoint_detection", headers=key)
        assert hps.call(image=encoded(photo.read_bytes()))["errorCode"] == 503
        client.load_model("human_keypoint_detection", headers=key)
    assert hps.call(image=encoded(photo.read_bytes()))["errorCode"] == 0


def test_the_key_that_the_operator_names_opens_control(own_server: EmbeddedServer) -> None:
    key = own_server.control_headers
    with triton.InferenceServerClient(own_server.grpc_url.removeprefix("grpc://")) as client:
        names = [model.name for model in client.get_model_repository_index(headers=key).models]
    assert "human_keypoint_detection" in names
    answer = requests.post(f"{own_server.http_url}/v2/repository/index", headers=key, timeout=20)
    assert "human_keypoint_detection" in [model["name"] for model in answer.json()]


def test_nobody_takes_the_ports_while_it_restarts(own_server: EmbeddedServer, photo: Path) -> None:
    """An attacker with the gRPC port would be sent the photos, and could forge results."""
    ports = (own_server.ports.grpc, own_server.ports.http)
    os.kill(process_of(own_server, "--id="), signal.SIGKILL)
    assert as_other_user(lambda: ports_taken(ports, 3)) == 0
    with closing(connect(own_server.grpc_url, timeout=60.0, retries=100)) as transport:
        assert len(transport.infer(InferRequest(image=photo.read_bytes())).boxes) == 2


def test_a_stolen_port_of_the_metrics_keeps_nothing_from_restarting(
    own_server: EmbeddedServer, photo: Path
) -> None:
    """It is the only port that can't be held."""
    os.kill(process_of(own_server, "--id="), signal.SIGKILL)
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def has_it() -> bool:
            with contextlib.suppress(OSError):
                thief.bind(("127.0.0.1", own_server.ports.metrics))
                thief.listen()
                return True
            return False

        assert wait_until(has_it)
        with closing(connect(own_server.grpc_url, timeout=60.0, retries=100)) as transport:
            assert len(transport.infer(InferRequest(image=photo.read_bytes())).boxes) == 2
