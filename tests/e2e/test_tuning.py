"""A server with a tuning file."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
import tritonclient.grpc as triton

from command_line import COMMAND, environment
from leftovers import alive, descendants, wait_until
from rest_service import free_port
from tritonpose import create_pipeline
from tritonpose_server.models.catalog import DEFAULT_DETECTOR, DEFAULT_KEYPOINT_MODEL

TUNING = """\
detector: {streams: 1, threads: 1, max_batch_size: 1}
keypoint_model: {instances: 2, streams: 1, threads: 1, max_batch_size: 4, queue_delay_us: 300}
pipeline: {workers: 3, max_in_flight: 7}
"""


@pytest.mark.usefixtures("installed_open_models")
def test_a_server_takes_a_tuning_file(tmp_path: Path, photo: Path) -> None:
    file = tmp_path / "tuning.yaml"
    file.write_text(TUNING)
    rest, grpc, http, metrics = (free_port() for _ in range(4))
    ports = [f"--port={rest}", f"--grpc_port={grpc}", f"--http_port={http}"]
    command = [COMMAND, "serve", "--tuning", str(file), *ports, f"--metrics_port={metrics}"]
    log = tmp_path / "log"
    with log.open("w") as output:
        service = subprocess.Popen(command, env=environment(), stdout=output, stderr=output)
    try:
        with triton.InferenceServerClient(f"127.0.0.1:{grpc}") as client:
            assert wait_until(lambda: service.poll() is not None or is_ready(client), 60)
            assert service.poll() is None, log.read_text()
            detector, keypoint, pipeline, hps = (
                client.get_model_config(name).config
                for name in (
                    DEFAULT_DETECTOR,
                    DEFAULT_KEYPOINT_MODEL,
                    "human_keypoint_detection",
                    "human-keypoint-detection",
                )
            )
        assert detector.max_batch_size == 1
        assert not detector.HasField("dynamic_batching")
        assert keypoint.max_batch_size == 4
        assert keypoint.dynamic_batching.max_queue_delay_microseconds == 300
        assert [group.count for group in keypoint.instance_group] == [2]
        for servable in (detector, keypoint):
            assert servable.parameters["NUM_STREAMS"].string_value == "1"
            assert servable.parameters["INFERENCE_NUM_THREADS"].string_value == "1"
        assert pipeline.parameters["workers"].string_value == "3"
        for model in (pipeline, hps):
            assert model.parameters["max_in_flight"].string_value == "7"
        # With it, people are found as ever.
        with create_pipeline("human_keypoint_detection", url=f"grpc://127.0.0.1:{grpc}") as client:
            assert len(next(client.predict(photo))["boxes"]) == 2
        processes = descendants(service.pid)
        service.send_signal(signal.SIGTERM)
        assert service.wait(30) == 0
        assert wait_until(lambda: not any(map(alive, processes)))
    finally:
        service.kill()
        service.wait()
    text = log.read_text()
    assert f"tuning of {file}: detector.streams 1, detector.threads 1, " in text
    assert "pipeline.workers 3, pipeline.max_in_flight 7" in text


def is_ready(client: triton.InferenceServerClient) -> bool:
    """Whether the server has all models."""
    try:
        return bool(client.is_model_ready("human-keypoint-detection"))
    except triton.InferenceServerException:
        return False
