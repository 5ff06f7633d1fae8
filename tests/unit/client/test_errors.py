"""The error tree and the exported names."""

import http.server
import pickle
import socket
import threading
from collections.abc import Iterator

import pytest

import tritonpose
from tritonpose import errors
from tritonpose.transport import connect
from tritonpose.transport.failures import failure
from tritonpose.transport.messages import PoseRequest

EXPORTED = {
    "ConfigError",
    "DeadlineExceededError",
    "HumanKeypointPipeline",
    "InputError",
    "InvalidRequestError",
    "KeypointResult",
    "ModelNotFoundError",
    "ServerError",
    "ServerUnavailableError",
    "TritonPoseError",
    "__version__",
    "create_pipeline",
}


def test_exported_names() -> None:
    assert set(tritonpose.__all__) == EXPORTED
    assert all(hasattr(tritonpose, name) for name in EXPORTED)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = tritonpose.no_such_name  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "is_value_error"),
    [
        ("ConfigError", True),
        ("InputError", True),
        ("InvalidRequestError", False),
        ("ModelNotFoundError", False),
        ("ServerUnavailableError", False),
        ("DeadlineExceededError", False),
        ("ServerError", False),
    ],
)
def test_tree(name: str, is_value_error: bool) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, errors.TritonPoseError)
    assert issubclass(kind, ValueError) is is_value_error
    assert name in (errors.__doc__ or "")


def test_input_error_survives_a_process_pool() -> None:
    error = pickle.loads(pickle.dumps(errors.InputError("broken", "a.jpg")))
    assert (str(error), error.input) == ("broken", "a.jpg")


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        (errors.InvalidRequestError, "refused"),
        (errors.ModelNotFoundError, "installed"),
        (errors.ServerUnavailableError, "tritonpose serve"),
        (errors.DeadlineExceededError, "timeout="),
        (errors.ServerError, "log"),
    ],
)
def test_failures_name_server_cause_and_remedy(
    kind: type[errors.TritonPoseError], advice: str
) -> None:
    error = failure(kind, "grpc://pose:8001", "the reason.")
    assert type(error) is kind
    for part in ("grpc://pose:8001", "the reason", advice):
        assert part in str(error)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_nobody_there(scheme: str, closed_port: int) -> None:
    transport = connect(f"{scheme}://127.0.0.1:{closed_port}")
    with pytest.raises(errors.ServerUnavailableError, match=f":{closed_port}"):
        transport.infer(PoseRequest(image=b"x"))
    transport.close()


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_no_answer(scheme: str, silent_port: int) -> None:
    transport = connect(f"{scheme}://127.0.0.1:{silent_port}", timeout=0.2)
    with pytest.raises(errors.DeadlineExceededError, match=f":{silent_port}"):
        transport.infer(PoseRequest(image=b"x"))
    transport.close()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.InvalidRequestError),
        (404, errors.ModelNotFoundError),
        (503, errors.ServerUnavailableError),
        (500, errors.ServerError),
    ],
)
def test_http_statuses(status: int, kind: type[errors.TritonPoseError]) -> None:
    class Refuse(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = b'{"error": "the reason"}'
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with http.server.HTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.handle_request).start()
        transport = connect(f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(kind, match="the reason") as caught:
            transport.infer(PoseRequest(image=b"x"))
        transport.close()
    assert type(caught.value) is kind


@pytest.mark.parametrize("content", [{}, {"image": b"x", "frame": b"x"}])
def test_requests_hold_exactly_one_image(content: dict) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        PoseRequest(**content)
