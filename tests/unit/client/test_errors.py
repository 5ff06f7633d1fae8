"""The error tree and the exported names."""

import asyncio
import contextlib
import http.server
import pickle
import socket
import threading
from collections.abc import Iterator

import pytest

import tritonpose
from tritonpose import errors
from tritonpose.transport import connect, connect_async
from tritonpose.transport.failures import error_from_status, make_error
from tritonpose.transport.messages import InferRequest

EXPORTED = {
    "AccessDeniedError",
    "AsyncPipeline",
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
    "create_async_pipeline",
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
        ("AccessDeniedError", False),
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


def test_errors_of_an_embedded_server_are_server_errors() -> None:
    from tritonpose_server.errors import EmbeddedServerError

    assert issubclass(EmbeddedServerError, tritonpose.ServerError)


def test_input_error_survives_a_process_pool() -> None:
    error = pickle.loads(pickle.dumps(errors.InputError("broken", "a.jpg")))
    assert (str(error), error.input) == ("broken", "a.jpg")


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        (errors.InvalidRequestError, "refused"),
        (errors.AccessDeniedError, "api_key="),
        (errors.ModelNotFoundError, "installed"),
        (errors.ServerUnavailableError, "tritonpose serve"),
        (errors.DeadlineExceededError, "timeout="),
        (errors.ServerError, "log"),
    ],
)
def test_failures_name_server_cause_and_remedy(
    kind: type[errors.TritonPoseError], advice: str
) -> None:
    error = make_error(kind, "grpc://pose:8001", "the reason.")
    assert type(error) is kind
    for part in ("grpc://pose:8001", "the reason", advice):
        assert part in str(error)


@pytest.mark.parametrize(
    ("status", "message", "kind", "code"),
    [
        ("503", "[busy] 9 requests", errors.ServerUnavailableError, "busy"),
        ("503", "[deadline] 9 requests", errors.ServerUnavailableError, "deadline"),
        # Of another model, to which Triton gave the message without the status.
        ("500", "model 'x', message: [busy] 9 requests", errors.ServerUnavailableError, "busy"),
        ("500", "[model_failed] 9 requests", errors.ServerError, "model_failed"),
        ("400", "[damaged_image] 9 requests", errors.InvalidRequestError, "damaged_image"),
        ("503", "9 requests", errors.ServerUnavailableError, None),
        ("503", "a page with [some] 9 requests", errors.ServerUnavailableError, None),
    ],
)
def test_codes_of_the_server(
    status: str, message: str, kind: type[errors.TritonPoseError], code: str | None
) -> None:
    error = error_from_status(status, "http://pose:8000", message)
    assert (type(error), error.code) == (kind, code)
    text = message if code is None else "9 requests"
    assert error.detail == text
    assert text in str(error)
    assert f"[{code}]" not in str(error)


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


def ask(url: str, asynchronous: bool, timeout: float = 60.0) -> None:
    """Sends one request, once, by one of the twins."""
    request = InferRequest(image=b"x")
    if not asynchronous:
        with contextlib.closing(connect(url, timeout, retries=0)) as transport:
            transport.infer(request)
        return

    async def infer() -> None:
        transport = connect_async(url, timeout, retries=0)
        try:
            await transport.infer(request)
        finally:
            await transport.close()

    asyncio.run(infer())


EVERY_TRANSPORT = pytest.mark.parametrize(
    ("scheme", "asynchronous"), [("grpc", False), ("http", False), ("grpc", True), ("http", True)]
)


@EVERY_TRANSPORT
def test_nobody_there(scheme: str, asynchronous: bool, closed_port: int) -> None:
    with pytest.raises(errors.ServerUnavailableError, match=f":{closed_port} .*tritonpose serve"):
        ask(f"{scheme}://127.0.0.1:{closed_port}", asynchronous)


@EVERY_TRANSPORT
def test_no_answer(scheme: str, asynchronous: bool, silent_port: int) -> None:
    with pytest.raises(errors.DeadlineExceededError, match=f":{silent_port}"):
        ask(f"{scheme}://127.0.0.1:{silent_port}", asynchronous, timeout=0.2)


@contextlib.contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """An HTTP server that answers one request; yields its URL."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.handle_request).start()
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.InvalidRequestError),
        (401, errors.AccessDeniedError),
        (403, errors.AccessDeniedError),
        (404, errors.ModelNotFoundError),
        (429, errors.ServerUnavailableError),
        (502, errors.ServerUnavailableError),
        (503, errors.ServerUnavailableError),
        (504, errors.DeadlineExceededError),
        (500, errors.ServerError),
    ],
)
def test_http_statuses(status: int, kind: type[errors.TritonPoseError], asynchronous: bool) -> None:
    with (
        answering(status, b'{"error": "the reason"}') as url,
        pytest.raises(kind, match="the reason") as caught,
    ):
        ask(url, asynchronous)
    assert type(caught.value) is kind


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (502, errors.ServerUnavailableError, "<h1>Bad gateway</h1>"),
        (200, errors.ServerError, "another server"),
        (302, errors.ServerError, "<h1>"),
    ],
)
def test_answers_that_are_not_tritons(
    status: int, kind: type[errors.TritonPoseError], words: str, asynchronous: bool
) -> None:
    with answering(status, b"<h1>Bad gateway</h1>") as url, pytest.raises(kind, match=words):
        ask(url, asynchronous)


@pytest.mark.parametrize("content", [{}, {"image": b"x", "frame": b"x"}])
def test_requests_hold_exactly_one_image(content: dict) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        InferRequest(**content)
