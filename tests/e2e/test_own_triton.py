"""An exported model repository, served as in our container, with REST as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
import yaml

from command_line import run
from leftovers import descendants, wait_until
from own_triton import DOCKER, OwnTriton, own_triton
from rest_service import rest_service
from tritonpose import KeypointResult, create_pipeline
from twins import predict_all

PIPELINE = "human_keypoint_detection"


@pytest.fixture(scope="module")
def own(
    installed_open_models: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnTriton]:
    folder = tmp_path_factory.mktemp("own")
    done = run(folder, "models", "export", "repository")
    assert done.returncode == 0, done.stderr
    assert "--model-config-name=onnxruntime_cpu" in done.stdout
    assert {path.name for path in (folder / "repository").iterdir()} == {
        *(model.name for model in installed_open_models),
        *(PIPELINE, "human-keypoint-detection"),
    }
    assert not any(path.is_symlink() for path in (folder / "repository").rglob("*"))
    with own_triton(folder / "repository", folder, GRPC_MAX_CONNECTION_AGE_MS="300") as triton:
        yield triton


def test_finds_what_the_embedded_server_finds(
    own: OwnTriton, expected: KeypointResult, photo: Path
) -> None:
    (ours,) = predict_all(False, photo, url=own.grpc_url)
    assert len(ours["boxes"]) == len(expected["boxes"]) == 2
    for one, other in zip(ours["boxes"], expected["boxes"], strict=True):
        np.testing.assert_allclose(one["coordinate"], other["coordinate"], atol=0.1)
        # Another engine computes them: ONNX Runtime.
        np.testing.assert_allclose(one["keypoints"], other["keypoints"], atol=0.2)
    config = own.get("/v2/models/NanoDet_person_416/config").json()
    assert config["backend"] == "onnxruntime"


def test_connections_that_are_renewed_lose_no_request(own: OwnTriton, photo: Path) -> None:
    """They end three times a second here; nothing is tried again."""
    with create_pipeline(PIPELINE, url=own.grpc_url, retries=0) as pipeline:
        results = list(pipeline.predict([str(photo)] * 24))
    assert [len(result["boxes"]) for result in results] == [2] * 24


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "repository/index"),
        ("POST", f"repository/models/{PIPELINE}/unload"),
        ("GET", "systemsharedmemory/status"),
        ("GET", "trace/setting"),
        ("GET", "logging"),
    ],
)
def test_what_no_client_needs_is_closed(own: OwnTriton, method: str, path: str) -> None:
    url = f"http://127.0.0.1:{own.http_port}/v2/{path}"
    assert requests.request(method, url, timeout=5).status_code == 403
    assert own.get(f"/v2/models/{PIPELINE}/ready").ok


def test_metrics_that_the_autoscalers_need(own: OwnTriton, photo: Path) -> None:
    with rest_service(own.grpc_url) as rest:
        with create_pipeline(PIPELINE, url=own.grpc_url) as pipeline:
            next(iter(pipeline.predict(photo)))
        text = requests.get(f"{rest}metrics", timeout=5).text
    text += requests.get(f"http://127.0.0.1:{own.metrics_port}/metrics", timeout=5).text
    rules = yaml.safe_load((DOCKER / "helm" / "prometheus-adapter-values.yaml").read_text())
    queries = " ".join(
        rule["seriesQuery"] + rule["metricsQuery"] for rule in rules["rules"]["custom"]
    )
    names = set(re.findall(r"\b(?:nv|tritonpose)_\w+", queries))
    assert {"nv_inference_queue_duration_us", "nv_inference_compute_infer_duration_us"} < names
    for name in names:
        assert re.search(rf"^{name}(\{{.*\}})? [\d.]+", text, re.MULTILINE), name
    # The models' numbers are apart from the pipeline's.
    (excluded,) = set(re.findall(r'model!~"(.*?)"', queries))
    models = set(re.findall(r'nv_inference_queue_duration_us\{model="(.*?)"', text))
    composing_models = {model for model in models if not re.fullmatch(excluded, model)}
    assert composing_models == {"NanoDet_person_416", "MoveNet-Thunder_256x192"}
    assert len(models) == 4


def test_a_model_that_has_lost_its_process_is_noticed(own: OwnTriton) -> None:
    """The last test, as it breaks the server."""

    def health(state: str) -> subprocess.CompletedProcess[str]:
        command = [DOCKER / "triton-health", state]
        return subprocess.run(command, capture_output=True, text=True, env=own.environment)

    for state in ("live", "ready"):
        assert health(state).returncode == 0, health(state).stderr
    (stub,) = (
        pid
        for pid in descendants(own.process.pid)
        if f"/{PIPELINE}/1/" in Path(f"/proc/{pid}/cmdline").read_text()
    )
    os.kill(stub, signal.SIGKILL)
    assert wait_until(lambda: health("live").returncode == 1)
    assert f"no process runs the model {PIPELINE}" in health("live").stderr
    # What Triton itself says does not help.
    assert own.get("/v2/health/live").ok
    own.process.terminate()
    # Now and then with SIGABRT: Triton can't always clean up after a process that it has lost.
    assert own.process.wait(20) in (0, -signal.SIGABRT)
    assert "tritonserver is not live" in health("live").stderr
