"""What clients of Triton's own ports can do."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from leftovers import alive, descendants, directories, shared_memory
from other_user import as_other_user
from tritonpose.triton_http import CLIENT_HEADERS
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.embedded.triton_command import CONTROL_HEADER, GRPC_HEADER

MODEL = "human_keypoint_detection"

HTTP_CONTROL = (
    ("POST", f"repository/models/{MODEL}/load"),
    ("POST", f"repository/models/{MODEL}/unload"),
    ("POST", "repository/index"),
    ("GET", "systemsharedmemory/status"),
    ("POST", "systemsharedmemory/region/x/register"),
    ("POST", "systemsharedmemory/unregister"),
    ("GET", "cudasharedmemory/status"),
    ("POST", "cudasharedmemory/region/x/register"),
    ("POST", "cudasharedmemory/unregister"),
    ("GET", "trace/setting"),
    ("POST", "trace/setting"),
    ("POST", f"models/{MODEL}/trace/setting"),
    ("GET", "logging"),
    ("POST", "logging"),
)
GRPC_CONTROL = (
    ("load_model", MODEL),
    ("unload_model", "nobody"),
    ("get_model_repository_index",),
    ("get_system_shared_memory_status",),
    ("register_system_shared_memory", "x", "/nowhere", 8),
    ("unregister_system_shared_memory",),
    ("get_cuda_shared_memory_status",),
    ("unregister_cuda_shared_memory",),
    ("get_trace_settings",),
    ("update_trace_settings", None, {"trace_rate": "1000"}),
    ("get_log_settings",),
    ("update_log_settings", {"log_verbose_level": 1}),
)


def ask(
    server: EmbeddedServer, method: str, path: str, headers: Mapping[str, str] | None = None
) -> requests.Response:
    body = b"{}" if method == "POST" else None
    return requests.request(method, server.http_url + path, data=body, headers=headers, timeout=20)


def process_of_triton(server: EmbeddedServer) -> int:
    (found,) = (
        pid
        for pid in descendants(server.pid or 0)
        if f"--id={server.server_id}" in Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    )
    return found


def locks_of(server: EmbeddedServer, protocol: str) -> tuple[str, str]:
    """What the command line of Triton, which every user reads, says that opens the control."""
    path = f"/proc/{process_of_triton(server)}/cmdline"
    words = as_other_user(Path(path).read_text).split("\0")
    (word,) = (
        word
        for word in words
        if word.startswith(f"--{protocol}-restricted") and "model-repository" in word
    )
    match = re.fullmatch(r"[^:]*:([^=]*)=(.*)", word, re.DOTALL)
    assert match is not None
    return match[1], match[2]


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[Any]:
    with triton.InferenceServerClient(server.grpc_url.removeprefix("grpc://")) as client:
        yield client


@pytest.mark.parametrize(("method", "path"), HTTP_CONTROL)
def test_http_control_is_closed(server: EmbeddedServer, method: str, path: str) -> None:
    for headers in ({}, CLIENT_HEADERS, {CONTROL_HEADER: "guess"}):
        refusal = ask(server, method, f"/v2/{path}", headers)
        assert refusal.status_code == 403
        assert "restricted" in refusal.text


@pytest.mark.parametrize("call", GRPC_CONTROL, ids=lambda call: call[0])
def test_grpc_control_is_closed(client: Any, call: tuple[str, Any]) -> None:
    method, *arguments = call
    for headers in ({}, CLIENT_HEADERS, {GRPC_HEADER: "guess"}):
        with pytest.raises(InferenceServerException, match="restricted") as caught:
            getattr(client, method)(*arguments, headers=headers)
        assert caught.value.status() == "StatusCode.UNAVAILABLE"


def talk(url: str, data: bytes) -> bytes:
    """Send bytes, and return all that comes within a second or two."""
    host, port = url.split("//")[1].split(":")
    with socket.create_connection((host, int(port)), timeout=2) as connection:
        connection.sendall(data)
        received = b""
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except TimeoutError:
            pass
    return received


@pytest.mark.parametrize("folding", ["\n", "\r\n", "\r\n ", "\n\t", " ", ""])
def test_what_the_command_line_says_opens_nothing_over_http(
    server: EmbeddedServer, folding: str
) -> None:
    header, value = (text.replace("\n", folding) for text in locks_of(server, "http"))
    request = f"POST /v2/repository/index HTTP/1.1\r\nHost: x\r\n{header}: {value}\r\n\r\n"
    answer = talk(server.http_url, request.encode())
    assert b" 200 " not in answer.partition(b"\r\n")[0]
    assert b"READY" not in answer


def call_by_hand(server: EmbeddedServer, method: str, header: str = "x", value: str = "x") -> bytes:
    """Call a method of Triton's without arguments, with a header that clients refuse to send."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": f"/inference.GRPCInferenceService/{method}",
        ":authority": "x",
        "te": "trailers",  # codespell:ignore
        "content-type": "application/grpc",
        header: value,
    }
    # HPACK: literals without indexing; all are shorter than 127 bytes.
    block = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(text)]) + text.encode()
        for name, text in fields.items()
    )
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    frames = frame(4, 0, 0, b"") + frame(1, 4, 1, block) + frame(0, 1, 1, bytes(5))
    return talk(server.grpc_url, preface + frames)


def frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    start = len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return start + content


@pytest.mark.parametrize("change", [str, str.lower])
def test_what_the_command_line_says_opens_nothing_over_grpc(
    server: EmbeddedServer, change: Callable[[str], str]
) -> None:
    # So such calls are answered, where the door is open.
    assert server.server_id.encode() in call_by_hand(server, "ServerMetadata")
    header, value = locks_of(server, "grpc")
    answer = call_by_hand(
        server, "RepositoryIndex", f"triton-grpc-protocol-{change(header)}", value
    )
    assert MODEL.encode() not in answer


def test_web_pages_do_not_get_in(server: EmbeddedServer) -> None:
    """Pages can't set the header; one such body ended tritonserver."""
    before = process_of_triton(server)
    for path in (f"models/{MODEL}/infer", f"models/{MODEL}/generate", "repository/index"):
        answer = requests.post(
            f"{server.http_url}/v2/{path}",
            data=b"[" * 5_000_000,
            headers={"Content-Type": "text/plain", "Origin": "http://page.example"},
            timeout=60,
        )
        assert answer.status_code == 403
    # Of many small chunks, which overflowed its stack (CVE-2025-23310, CVE-2025-23311).
    chunks = b"1\r\n[\r\n" * 500_000 + b"0\r\n\r\n"
    for path in (f"models/{MODEL}/infer", "repository/index", "health/ready"):
        start = f"POST /v2/{path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = talk(server.http_url, start.encode() + chunks)
        # The answer may be lost where the connection is closed before all is read.
        assert re.match(rb"HTTP/1.1 4\d\d |$", answer)
    # As a page does that has turned its own name to this machine's address.
    for path in ("", "/models/stats", f"/models/{MODEL}", f"/models/{MODEL}/config"):
        answer = ask(server, "GET", f"/v2{path}", {"Host": "page.example"})
        assert answer.status_code == 403
        assert MODEL not in answer.text
    assert alive(before)


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", f"/models/{MODEL}/ready"])
def test_what_probes_need_is_open(server: EmbeddedServer, path: str) -> None:
    assert ask(server, "GET", f"/v2{path}").status_code == 200


FOR_CLIENTS = ("", "/models/stats", f"/models/{MODEL}", f"/models/{MODEL}/config")


@pytest.mark.parametrize("path", FOR_CLIENTS)
def test_what_clients_need_is_open(server: EmbeddedServer, path: str) -> None:
    assert ask(server, "GET", f"/v2{path}", CLIENT_HEADERS).status_code == 200


def test_another_user_reads_no_photo(server: EmbeddedServer) -> None:
    regions = shared_memory(server.server_id)
    assert len(regions) > 3
    for name in regions:
        path = Path("/dev/shm", name)
        assert as_other_user(lambda path=path: path.read_bytes()[:1].hex()) == "PermissionError"
    (place,) = directories(server.server_id)
    assert as_other_user(lambda: list(map(str, place.iterdir()))) == "PermissionError"


def test_the_current_directory_is_no_code(server: EmbeddedServer) -> None:
    """Neither Triton nor one of its Python processes runs where its user does."""
    for pid in descendants(server.pid or 0):
        place = Path(f"/proc/{pid}/cwd").resolve()
        assert place.parent.name.startswith(server.server_id)
        assert list(place.iterdir()) == []
