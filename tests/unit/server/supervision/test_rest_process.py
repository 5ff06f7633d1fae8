"""The process of the REST service."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from leftovers import alive, wait_until
from tritonpose.cli.logs import LogOptions
from tritonpose_server.ports import bind
from tritonpose_server.service.rest.settings import RestSettings
from tritonpose_server.supervision.processes import children
from tritonpose_server.supervision.rest_process import RestProcess


@pytest.fixture
def process() -> Iterator[RestProcess]:
    with bind("127.0.0.1", None) as listener:
        port = listener.getsockname()[1]
        rest = RestProcess(listener, RestSettings(triton_url="", port=port), LogOptions())
        yield rest
        rest.stop(lambda: True)


def test_it_starts_before_its_settings_are_known(process: RestProcess) -> None:
    before = set(children(os.getpid()))
    process.prepare()
    (prepared,) = set(children(os.getpid())) - before
    # Nobody serves there.
    process.settings = replace(process.settings, triton_url="grpc://127.0.0.1:1")
    url = f"http://127.0.0.1:{process.settings.port}/health"

    def answers() -> bool:
        process.ensure_running()
        try:
            return httpx.get(url, timeout=5, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    assert wait_until(answers, 60)
    assert set(children(os.getpid())) - before == {prepared}


def test_one_that_waits_is_stopped(process: RestProcess) -> None:
    before = set(children(os.getpid()))
    process.prepare()
    (waiting,) = set(children(os.getpid())) - before
    process.stop(lambda: True)
    assert not alive(waiting)
