"""What clients of Triton's own ports can do."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tritonpose_server.embedded.server import EmbeddedServer

MODEL = "human_keypoint_detection"

CONTROL = {
    "load a model": ("POST", f"/v2/repository/models/{MODEL}/load"),
    "unload a model": ("POST", f"/v2/repository/models/{MODEL}/unload"),
    "list the repository": ("POST", "/v2/repository/index"),
    "shared memory": ("GET", "/v2/systemsharedmemory/status"),
    "register shared memory": ("POST", "/v2/systemsharedmemory/region/x/register"),
    "unregister shared memory": ("POST", "/v2/systemsharedmemory/unregister"),
    "CUDA shared memory": ("GET", "/v2/cudasharedmemory/status"),
    "register CUDA shared memory": ("POST", "/v2/cudasharedmemory/region/x/register"),
    "unregister CUDA shared memory": ("POST", "/v2/cudasharedmemory/unregister"),
    "trace settings": ("GET", "/v2/trace/setting"),
    "change trace settings": ("POST", "/v2/trace/setting"),
    "trace settings of a model": ("POST", f"/v2/models/{MODEL}/trace/setting"),
    "log settings": ("GET", "/v2/logging"),
    "change log settings": ("POST", "/v2/logging"),
}

Headers = Mapping[str, str]
Call = Callable[[Any, Headers], object]

GRPC_CONTROL: dict[str, Call] = {
    "load a model": lambda client, headers: client.load_model(MODEL, headers=headers),
    "unload a model": lambda client, headers: client.unload_model("nobody", headers=headers),
    "list the repository": lambda client, headers: client.get_model_repository_index(headers),
    "shared memory": lambda client, headers: client.get_system_shared_memory_status(
        headers=headers
    ),
    "register shared memory": lambda client, headers: client.register_system_shared_memory(
        "x", "/nowhere", 8, headers=headers
    ),
    "unregister shared memory": lambda client, headers: client.unregister_system_shared_memory(
        headers=headers
    ),
    "CUDA shared memory": lambda client, headers: client.get_cuda_shared_memory_status(
        headers=headers
    ),
    "unregister CUDA shared memory": lambda client, headers: client.unregister_cuda_shared_memory(
        headers=headers
    ),
    "trace settings": lambda client, headers: client.get_trace_settings(headers=headers),
    "change trace settings": lambda client, headers: client.update_trace_settings(
        settings={"trace_rate": "1000"}, headers=headers
    ),
    "log settings": lambda client, headers: client.get_log_settings(headers),
    "change log settings": lambda client, headers: client.update_log_settings(
        {"log_verbose_level": 1}, headers
    ),
}


def ask(
    server: EmbeddedServer, method: str, path: str, headers: Headers | None = None
) -> tuple[int, str]:
    request = urllib.request.Request(
        server.http_url + path,
        b"{}" if method == "POST" else None,
        dict(headers or {}),
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[Any]:
    with triton.InferenceServerClient(server.grpc_url.removeprefix("grpc://")) as client:
        yield client


@pytest.mark.parametrize(("method", "path"), CONTROL.values(), ids=CONTROL)
def test_http_control_is_closed(server: EmbeddedServer, method: str, path: str) -> None:
    for headers in ({}, dict.fromkeys(server.control_headers, "guess")):
        status, text = ask(server, method, path, headers)
        assert status == 403
        assert "restricted" in text


@pytest.mark.parametrize("call", GRPC_CONTROL.values(), ids=GRPC_CONTROL)
def test_grpc_control_is_closed(server: EmbeddedServer, client: Any, call: Call) -> None:
    for headers in ({}, dict.fromkeys(server.control_headers, "guess")):
        with pytest.raises(InferenceServerException, match="restricted") as caught:
            call(client, headers)
        assert caught.value.status() == "StatusCode.UNAVAILABLE"


def test_the_key_opens_it(server: EmbeddedServer, client: Any) -> None:
    status, text = ask(server, "POST", "/v2/repository/index", server.control_headers)
    assert status == 200
    assert MODEL in [model["name"] for model in json.loads(text)]
    index = client.get_model_repository_index(headers=server.control_headers)
    assert MODEL in [model.name for model in index.models]


@pytest.mark.parametrize(
    "path",
    [
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        f"/v2/models/{MODEL}",
        f"/v2/models/{MODEL}/ready",
        f"/v2/models/{MODEL}/config",
        "/v2/models/stats",
    ],
)
def test_what_clients_need_is_open(server: EmbeddedServer, path: str) -> None:
    assert ask(server, "GET", path)[0] == 200
