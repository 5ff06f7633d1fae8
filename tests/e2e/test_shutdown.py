"""A service finishes what it has begun after one signal, and stops at once after two."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from requests import HTTPError

from command_line import Service, serving
from leftovers import alive, descendants, shared_memory, wait_until
from tritonpose.errors import ServerUnavailableError
from tritonpose.transport import Transport, connect
from tritonpose.transport.messages import InferRequest
from tritonpose_server.embedded.server import EmbeddedServer

CLIENTS = 8


def is_refused(call: Callable[[], object]) -> bool:
    """Whether a new request is refused as unavailable; so is one to a port that is closed."""
    try:
        call()
    except HTTPError as error:
        return error.response.status_code == 503 and "Retry-After" in error.response.headers
    except (OSError, ServerUnavailableError):
        return True
    return False


@pytest.mark.usefixtures("installed_open_models")
def test_no_request_under_way_is_lost(tmp_path: Path, photo: Path) -> None:
    with serving(tmp_path / "log", "serve") as service, ExitStack() as stack:
        urls = (f"grpc://127.0.0.1:{service.ports[1]}", f"http://127.0.0.1:{service.ports[2]}")
        grpc, http = (
            stack.enter_context(closing(connect(url, timeout=60.0, retries=0))) for url in urls
        )
        request = InferRequest(image=photo.read_bytes())
        assert len(grpc.infer(request).boxes) == len(http.infer(request).boxes) == 2
        pool = stack.enter_context(ThreadPoolExecutor(3 * CLIENTS))
        under_way: list[Future[int]] = []
        rest: list[Future[int]] = []
        for _ in range(CLIENTS):
            under_way += [pool.submit(persons_of, way, request) for way in (grpc, http)]
            rest.append(pool.submit(lambda: len(service.persons(photo))))
        under_way += rest
        # The last may come when the first is answered already.
        assert wait_until(
            lambda: requests(service, "in_flight") + sum(each.done() for each in rest) == CLIENTS
        )
        service.process.send_signal(signal.SIGTERM)
        assert wait_until(lambda: not service.ready())
        assert is_refused(lambda: service.persons(photo))
        assert [answer.result() for answer in under_way] == [2] * len(under_way)
        assert service.process.wait(30) == 0
        assert is_refused(lambda: grpc.infer(request))
    log = service.log.read_text()
    assert not [words for words in ("Traceback", " ERROR ", "terminate called") if words in log]


def test_requests_in_flight_at_triton_are_answered(
    embed: Callable[..., EmbeddedServer], photo: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing in front of Triton refuses requests: the pipeline itself finishes those it has."""
    request = InferRequest(image=photo.read_bytes())
    with (
        embed() as server,
        closing(connect(server.grpc_url, timeout=60.0, retries=0)) as grpc,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        assert persons_of(grpc, request) == 2
        answers = [pool.submit(persons_of, grpc, request) for _ in range(10 * CLIENTS)]
        assert wait_until(lambda: sum(answer.done() for answer in answers) >= CLIENTS)
        server.stop()
        assert all(answer.done() for answer in answers[:CLIENTS])
        for answer in answers:
            error = answer.exception()
            assert answer.result() == 2 if error is None else type(error) is ServerUnavailableError
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


@contextmanager
def endless_request(service: Service) -> Iterator[None]:
    """Keep a request under way whose body never ends."""
    with socket.create_connection(("127.0.0.1", service.ports[0])) as endless:
        endless.sendall(
            b"POST /human-keypoint-detection HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            b"Content-Type: application/json\r\n\r\n{"
        )
        assert wait_until(lambda: requests(service, "receiving") == 1)
        yield


def test_clients_that_never_finish_do_not_keep_it(server: EmbeddedServer, tmp_path: Path) -> None:
    arguments = ["serve", "--url", server.grpc_url, "--stop_timeout=1"]
    with serving(tmp_path / "log", *arguments) as service, endless_request(service):
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(20) == 0


@pytest.mark.usefixtures("installed_open_models")
def test_the_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "serve", "--stop_timeout=600") as service:
        processes = descendants(service.process.pid)
        server_id = service.server_id()
        with endless_request(service):
            service.process.send_signal(signal.SIGTERM)
            assert wait_until(lambda: not service.ready())
            assert service.process.poll() is None
            service.process.send_signal(signal.SIGINT)
            assert service.process.wait(30) == 0
        assert not any(map(alive, processes))
        assert not shared_memory(server_id)


def persons_of(way: Transport, request: InferRequest) -> int:
    return len(way.infer(request).boxes)


def requests(service: Service, state: str) -> int:
    lines = service.get("/metrics").decode().splitlines()
    (line,) = (line for line in lines if line.startswith(f"tritonpose_rest_requests_{state} "))
    return int(float(line.split()[1]))
