"""Errors where a GPU can't be used."""

from __future__ import annotations

import os
import subprocess
import sys

import onnxruntime
import pytest

from tritonpose_server.embedded import device as gpus
from tritonpose_server.embedded.device import count_gpus, require_gpus
from tritonpose_server.errors import EmbeddedServerError

CUDA = ["CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with two GPUs and the ONNX Runtime for them."""
    monkeypatch.setattr(gpus, "count_gpus", lambda: 2)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: CUDA)
    return monkeypatch


def test_everything_is_there(machine: pytest.MonkeyPatch) -> None:
    assert machine
    require_gpus([0, 1])


def test_nothing_is_asked_of_a_machine_for_the_cpu(machine: pytest.MonkeyPatch) -> None:
    machine.setattr(gpus, "count_gpus", lambda: 0)
    machine.setattr(onnxruntime, "get_available_providers", list)
    require_gpus([])


@pytest.mark.parametrize(
    ("count", "providers", "wanted", "words"),
    [
        (0, CUDA, [0], "no NVIDIA GPU is visible here"),
        (2, CUDA, [1, 2], "there is no GPU 2: 2 can be seen here"),
        (2, CUDA[1:], [0], "pip install 'onnxruntime-gpu[cuda,cudnn]'"),
    ],
)
def test_what_is_missing(
    machine: pytest.MonkeyPatch, count: int, providers: list[str], wanted: list[int], words: str
) -> None:
    machine.setattr(gpus, "count_gpus", lambda: count)
    machine.setattr(onnxruntime, "get_available_providers", lambda: providers)
    with pytest.raises(EmbeddedServerError) as caught:
        require_gpus(wanted)
    message = str(caught.value)
    assert words in message
    assert "--device cpu" in message
    assert "\n" not in message


def test_hidden_gpus_do_not_count() -> None:
    """True on machines with GPUs as on those without."""
    program = "from tritonpose_server.embedded.device import count_gpus; print(count_gpus())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "0"


def test_visible_gpus_are_counted() -> None:
    listed = subprocess.run(
        "command -v nvidia-smi >/dev/null && nvidia-smi --list-gpus || true",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert count_gpus() == listed.stdout.count("GPU ")
