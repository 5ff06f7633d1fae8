"""The error tree and the exported names."""

import pickle
import socket
import socketserver
import threading

import numpy as np
import pytest

import tritonpose
from endless_server import endless_server
from file_server import Route, file_server
from tritonpose import errors
from tritonpose.transport import wrong_ports
from tritonpose.transport.failures import error_from_status, make_error
from tritonpose.transport.messages import InferRequest
from twins import EVERY_CLIENT, predict_all

ERRORS = [getattr(tritonpose, name) for name in tritonpose.__all__ if name.endswith("Error")]
ONE_IMAGE = np.zeros((4, 6, 3), np.uint8)


def test_exported_names() -> None:
    assert all(hasattr(tritonpose, name) for name in tritonpose.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = tritonpose.no_such_name  # type: ignore[attr-defined]


def test_errors_are_one_documented_tree() -> None:
    assert len(ERRORS) == 9
    assert all(issubclass(kind, errors.TritonPoseError) for kind in ERRORS)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in ERRORS)
    value_errors = [kind for kind in ERRORS if issubclass(kind, ValueError)]
    assert value_errors == [errors.ConfigError, errors.InputError]


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
        ("404", "9 requests, 'x' is not found", errors.ModelNotFoundError, None),
        # Of a server that starts or ends.
        ("404", "9 requests, 'x' has no available versions", errors.ServerUnavailableError, None),
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


def ask(url: str, asynchronous: bool, timeout: float = 60.0) -> None:
    """Sends one request, once, by one of the twins."""
    predict_all(asynchronous, ONE_IMAGE, url=url, timeout=timeout, retries=0)


@EVERY_CLIENT
@pytest.mark.parametrize(
    ("there", "kind", "words"),
    [
        (False, errors.ServerUnavailableError, "tritonpose serve"),
        (True, errors.DeadlineExceededError, "timeout="),
    ],
)
def test_nobody_there_and_no_answer(
    scheme: str, asynchronous: bool, there: bool, kind: type[errors.TritonPoseError], words: str
) -> None:
    # It takes connections and never answers.
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if not there:
            server.close()
        with pytest.raises(kind, match=f":{port} .*{words}"):
            ask(f"{scheme}://127.0.0.1:{port}", asynchronous, 0.2 if there else 60.0)


REASON = b'{"error": "the reason"}'
PAGE = b"<h1>Bad gateway</h1>"


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (400, REASON, errors.InvalidRequestError, "the reason"),
        (401, REASON, errors.AccessDeniedError, "the reason"),
        (403, REASON, errors.AccessDeniedError, "the reason"),
        (404, REASON, errors.ModelNotFoundError, "the reason"),
        (429, REASON, errors.ServerUnavailableError, "the reason"),
        (502, REASON, errors.ServerUnavailableError, "the reason"),
        (503, REASON, errors.ServerUnavailableError, "the reason"),
        (504, REASON, errors.DeadlineExceededError, "the reason"),
        (500, REASON, errors.ServerError, "the reason"),
        # Not Triton's.
        (502, PAGE, errors.ServerUnavailableError, "is unavailable: Bad gateway. If"),
        (200, PAGE, errors.ServerError, "another server"),
        (302, PAGE, errors.ServerError, "failed: Bad gateway"),
        (
            501,
            b"<style>\na </style>\n<p>no\n <b>POST</b>",
            errors.ServerError,
            "failed: no POST[.]",
        ),
    ],
)
def test_http_answers(
    status: int, body: bytes, kind: type[errors.TritonPoseError], words: str, asynchronous: bool
) -> None:
    with file_server() as server:
        server.add("/v2/models/human_keypoint_detection/infer", Route(body, status=status))
        server.add("/v2/health/ready", Route(b""))
        with pytest.raises(kind, match=words) as caught:
            ask(server.address, asynchronous)
    assert type(caught.value) is kind


@pytest.mark.parametrize("content", [{}, {"image": b"x", "frame": b"x"}])
def test_requests_hold_exactly_one_image(content: dict) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        InferRequest(**content)


SETTINGS = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64"
REST = b'HTTP/1.1 404 Not Found\r\n\r\n{"logId":"1","errorCode":404,"errorMsg":"Not Found"}'
READY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
PLAIN = b"HTTP/1.0 501 Unsupported method\r\nContent-Type: text/html;charset=utf-8\r\n\r\n<html>"
ALERT = b"\x15\x03\x01\0\x02\x02\x46"


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("scheme", "answer", "words"),
    [
        ("grpc", REST, "tritonpose's REST service answers there"),
        ("http", REST, "tritonpose's REST service answers there"),
        ("grpc", READY, "Triton's HTTP port answers there: write http:// instead of grpc://"),
        ("grpc", b"HTTP/1.1 200 OK\r\n\r\n<html>", "a web server answers there, not Triton's gRPC"),
        ("http", SETTINGS, "a gRPC server answers there: write grpc:// instead of http://"),
        ("http", ALERT, "a server with encryption answers there: write https://"),
        ("grpc", ALERT, "a server with encryption answers there: write grpcs://"),
        ("http", PLAIN, "a web server answers there, not Triton[.] Triton's own address is http:"),
        ("http", b"?", "is unavailable"),
    ],
)
def test_what_answers_instead_is_told(
    scheme: str, answer: bytes, words: str, asynchronous: bool
) -> None:
    class Answers(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with pytest.raises(errors.TritonPoseError, match=words):
            ask(f"{scheme}://127.0.0.1:{server.server_address[1]}", asynchronous)
        server.shutdown()
        thread.join()


def test_what_answers_a_little_all_the_time_is_not_read_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wrong_ports, "_SECONDS", 0.1)
    with endless_server(b"HTTP/1.1 ", b"2", pause=0.01) as url:
        answer = wrong_ports._answer(url)
    assert answer.startswith(b"HTTP/1.1 2")
    assert len(answer) < wrong_ports._MOST_BYTES
