"""What clients of Triton's own ports can do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import requests
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tritonpose_server.embedded.server import EmbeddedServer

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


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[Any]:
    with triton.InferenceServerClient(server.grpc_url.removeprefix("grpc://")) as client:
        yield client


@pytest.mark.parametrize(("method", "path"), HTTP_CONTROL)
def test_http_control_is_closed(server: EmbeddedServer, method: str, path: str) -> None:
    for headers in ({}, dict.fromkeys(server.control_headers, "guess")):
        refusal = ask(server, method, f"/v2/{path}", headers)
        assert refusal.status_code == 403
        assert "restricted" in refusal.text


@pytest.mark.parametrize("call", GRPC_CONTROL, ids=lambda call: call[0])
def test_grpc_control_is_closed(server: EmbeddedServer, client: Any, call: tuple[str, Any]) -> None:
    method, *arguments = call
    for headers in ({}, dict.fromkeys(server.control_headers, "guess")):
        with pytest.raises(InferenceServerException, match="restricted") as caught:
            getattr(client, method)(*arguments, headers=headers)
        assert caught.value.status() == "StatusCode.UNAVAILABLE"


def test_the_key_opens_it(server: EmbeddedServer, client: Any) -> None:
    answer = ask(server, "POST", "/v2/repository/index", server.control_headers)
    assert answer.status_code == 200
    assert MODEL in [model["name"] for model in answer.json()]
    index = client.get_model_repository_index(headers=server.control_headers)
    assert MODEL in [model.name for model in index.models]


@pytest.mark.parametrize(
    "path",
    ["", "/health/live", "/health/ready", "/models/stats"]
    + [f"/models/{MODEL}{suffix}" for suffix in ("", "/ready", "/config")],
)
def test_what_clients_need_is_open(server: EmbeddedServer, path: str) -> None:
    assert ask(server, "GET", f"/v2{path}").status_code == 200
