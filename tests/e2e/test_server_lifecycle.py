"""Starting and ending the embedded server: whatever happens, nothing is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from leftovers import alive, descendants, directories, shared_memory, wait_until
from tritonpose import create_pipeline
from tritonpose.triton_http import CLIENT_HEADERS
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.embedded.tuning import PipelineTuning, Tuning
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models.catalog import DEFAULT_DETECTOR
from tritonpose_server.supervision.processes import service_processes

Embed = Callable[..., EmbeddedServer]

HOST = """
import sys, time
from pathlib import Path
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_pipeline.settings import PipelineSettings
models = [Path(path) for path in sys.argv[1:]]
with EmbeddedServer(models, PipelineSettings(models[0].name, models[1].name)) as server:
    print(server.server_id, flush=True)
    time.sleep(600)
"""


@contextmanager
def running_host(models: list[Path]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a program with a server; yield it and the server's id once that is ready."""
    with subprocess.Popen(
        [sys.executable, "-c", HOST, *map(str, models)],
        stdout=subprocess.PIPE,
        text=True,
    ) as host:
        assert host.stdout is not None
        try:
            yield host, host.stdout.readline().strip()
        finally:
            host.kill()


def runs(pid: int, program: str) -> bool:
    """Whether a process was started as a program, directly or by an interpreter."""
    command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return any(part.endswith(program) for part in command[:4])


def nothing_left(server_id: str, processes: list[int]) -> bool:
    return not (shared_memory(server_id) or directories(server_id) or any(map(alive, processes)))


def test_stop_leaves_nothing(embed: Embed, photo: Path) -> None:
    server = embed()
    with server:
        processes = [server.pid or 0, *descendants(server.pid or 0)]
        assert len(processes) > 3
        assert shared_memory(server.server_id)
        with create_pipeline("human_keypoint_detection", url=server.grpc_url) as client:
            assert len(next(client.predict(photo))["boxes"]) == 2
    assert nothing_left(server.server_id, processes)
    assert server.pid is None


def test_a_stop_waits_for_neither_probes_nor_processes(
    embed: Embed, caplog: pytest.LogCaptureFixture
) -> None:
    """Triton waits for every open HTTP connection, and a second for each process of a model.

    If it takes longer than it may, it reports an error.
    """
    tuning = Tuning(pipeline=PipelineTuning(workers=6, instances=6))
    with embed(hang_timeout=1, stop_timeout=6, tuning=tuning) as server:
        url = f"{server.http_url}/v2/models/{DEFAULT_DETECTOR}/stats"

        def probed() -> bool:
            answer = requests.get(url, headers=CLIENT_HEADERS, timeout=5)
            (statistics,) = answer.json()["model_stats"]
            return bool(statistics["inference_stats"]["success"]["count"])

        assert wait_until(probed)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_end_of_the_parent_leaves_nothing(
    installed_open_models: list[Path], number: signal.Signals
) -> None:
    with running_host(installed_open_models) as (host, server_id):
        processes = descendants(host.pid)
        assert len(processes) > 3
        host.send_signal(number)
        host.wait(30)
        assert wait_until(lambda: nothing_left(server_id, processes))


def test_death_of_the_guardian_leaves_no_process(installed_open_models: list[Path]) -> None:
    with running_host(installed_open_models) as (host, server_id):
        processes = descendants(host.pid)
        (guardian,) = (pid for pid in processes if runs(pid, "guardian"))
        os.kill(guardian, signal.SIGKILL)
        # No process is left to clean up files, but processes and shared memory end with it.
        assert wait_until(lambda: not any(map(alive, processes)))
        assert wait_until(lambda: not shared_memory(server_id))
    for directory in directories(server_id):
        shutil.rmtree(directory)


def test_a_model_that_is_not_what_its_configuration_says(
    installed_open_models: list[Path], tmp_path: Path
) -> None:
    detector, broken = (tmp_path / model.name for model in installed_open_models)
    for model in installed_open_models:
        shutil.copytree(model, tmp_path / model.name)
    config = broken / "config.pbtxt"
    config.write_text(config.read_text().replace('name: "heatmap"', 'name: "headmap"'))
    server = EmbeddedServer([detector, broken], PipelineSettings(detector.name, broken.name))
    with pytest.raises(
        EmbeddedServerError, match="output 'headmap' is not in the model, which has heatmap"
    ):
        server.start()
    assert nothing_left(server.server_id, [])


def test_a_model_that_dies_during_the_start(embed: Embed) -> None:
    """Triton itself would wait for it without end."""
    server = embed()

    def detectors() -> set[int]:
        processes = service_processes(os.getpid())
        return {each.pid for each in processes if each.model == DEFAULT_DETECTOR}

    # The server that all tests share may run beside it.
    others = detectors()

    def kill() -> bool:
        for victim in (victims := detectors() - others):
            os.kill(victim, signal.SIGKILL)
        return bool(victims)

    killer = threading.Thread(target=wait_until, args=[kill])
    killer.start()
    with pytest.raises(EmbeddedServerError, match="has died while the server was starting"):
        server.start()
    killer.join()
    assert nothing_left(server.server_id, [])


def test_default_model_that_is_not_served(installed_open_models: list[Path]) -> None:
    server = EmbeddedServer(
        installed_open_models, PipelineSettings("nobody", installed_open_models[1].name)
    )
    with pytest.raises(EmbeddedServerError, match="model 'nobody' is to be used by default"):
        server.start()
    assert server.pid is None
