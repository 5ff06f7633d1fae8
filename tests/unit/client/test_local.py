"""Where a pipeline runs if nobody says so."""

from __future__ import annotations

import logging
import pickle
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tritonpose import create_async_pipeline, create_pipeline, local
from tritonpose.errors import ConfigError
from tritonpose.local import LOCAL_URL, default_url


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITONPOSE_URL", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setattr(local, "DEFAULT_URL", f"grpc://127.0.0.1:{port}")


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"grpc://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(local, "DEFAULT_URL", url)
        yield url


def test_the_environment_comes_first(listener: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_url() == listener
    monkeypatch.setenv("TRITONPOSE_URL", "http://pose:8000")
    assert default_url() == "http://pose:8000"


def test_a_server_comes_before_this_process(
    listener: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "tritonpose"):
        create_pipeline("human_keypoint_detection").close()
    assert caplog.messages == [f"the pipeline runs on the server at {listener}"]


def test_this_process_where_no_server_listens(caplog: pytest.LogCaptureFixture) -> None:
    assert default_url() == LOCAL_URL
    with caplog.at_level(logging.INFO, "tritonpose"):
        create_pipeline("human_keypoint_detection").close()
    assert caplog.messages == ["the pipeline runs in this process"]


def test_the_default_server_where_nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "is_installed", lambda: False)
    assert default_url() == local.DEFAULT_URL
    with pytest.raises(ConfigError, match=r"pip install .*local"):
        create_pipeline("human_keypoint_detection", url="local:")


def test_a_pipeline_says_where_it_runs() -> None:
    for url in ("local:", "grpc://a:1", "http://a:1,http://b:2"):
        with create_pipeline("human_keypoint_detection", url=url) as pipeline:
            assert pipeline.url == url
            assert pickle.loads(pickle.dumps(pipeline)).url == url
        assert create_async_pipeline("human_keypoint_detection", url=url).url == url


@pytest.mark.parametrize("create", [create_pipeline, create_async_pipeline])
@pytest.mark.parametrize("url", ["grpc://127.0.0.1:9", "local:"])
def test_fast_decode_is_asked_of_servers_and_of_this_process(create: Any, url: str) -> None:
    for choice in (True, False):
        pipeline = create("human_keypoint_detection", url=url, fast_decode=choice)
        assert pipeline._config.fast_decode is choice
