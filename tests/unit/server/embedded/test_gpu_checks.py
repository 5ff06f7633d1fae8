"""Errors where a GPU can't be used."""

from __future__ import annotations

import os
import subprocess
import sys

import onnxruntime
import pytest

from tritonpose_server.embedded import device
from tritonpose_server.embedded.device import count_gpus, require_gpus
from tritonpose_server.errors import EmbeddedServerError

CUDA = ["CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.mark.parametrize(
    ("count", "providers", "wanted", "words"),
    [
        (2, CUDA, [0, 1], None),
        (0, [], [], None),
        (0, CUDA, [0], "no NVIDIA GPU is visible here"),
        (2, CUDA, [1, 2], "there is no GPU 2: 2 can be seen here"),
        (2, CUDA[1:], [0], "pip install 'onnxruntime-gpu[cuda,cudnn]'"),
    ],
)
def test_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    providers: list[str],
    wanted: list[int],
    words: str | None,
) -> None:
    monkeypatch.setattr(device, "count_gpus", lambda: count)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    if words is None:
        require_gpus(wanted)
        return
    with pytest.raises(EmbeddedServerError) as caught:
        require_gpus(wanted)
    message = str(caught.value)
    assert words in message
    assert "--device cpu" in message
    assert "\n" not in message


def output_of(*command: str, **environment: str) -> str:
    environment = {**os.environ, **environment}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_hidden_gpus_do_not_count() -> None:
    """True on machines with GPUs as on those without."""
    program = "from tritonpose_server.embedded.device import count_gpus; print(count_gpus())"
    assert output_of(sys.executable, "-c", program, CUDA_VISIBLE_DEVICES="").strip() == "0"


def test_visible_gpus_are_counted() -> None:
    command = "command -v nvidia-smi >/dev/null && nvidia-smi --list-gpus || true"
    assert count_gpus() == output_of("sh", "-c", command).count("GPU ")
