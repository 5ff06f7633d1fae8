"""What images are built from: checked as far as that goes without building them."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
TARGETS = ("rest", "embedded", "tools", "triton")


def stages() -> dict[str, str]:
    """Instructions of each stage, by its name."""
    parts = re.split(r"^FROM \S+ AS (\S+)\n", DOCKERFILE.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_linter() -> None:
    program = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([program, DOCKERFILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("target", TARGETS)
def test_what_runs_is_not_root(target: str) -> None:
    (user,) = re.findall(r"^USER (\d+):(\d+)$", stages()[target], re.MULTILINE)
    assert 0 not in map(int, user)


@pytest.mark.parametrize("stage", ["base", "triton"])
def test_onnx_runtime_reports_nothing(stage: str) -> None:
    """The C++ backend of Triton's image, too, which nothing of this project loads."""
    assert re.search(r"^ENV (.*\\\n)*.*\bORT_DISABLE_TELEMETRY=1\b", stages()[stage], re.MULTILINE)


@pytest.mark.parametrize("target", ["rest", "embedded", "triton"])
def test_servers_tell_whether_they_are_well(target: str) -> None:
    assert stages()[target].count("\nHEALTHCHECK ") == 1


def test_base_images_are_named_exactly() -> None:
    images = re.findall(r"^ARG \w+_IMAGE=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    assert images == ["python:3.11-slim-bookworm", "nvcr.io/nvidia/tritonserver:26.10-py3"]


def test_packages_are_those_that_were_tested() -> None:
    lines = DOCKERFILE.read_text().replace("\\\n", "").splitlines()
    installs = [line for line in lines if re.search(r"\bpip .*\binstall\b", line)]
    assert len(installs) == 4
    for install in installs:
        assert "--constraint /constraints.txt" in install
        assert "--no-cache-dir" in install


def test_build_context_has_what_is_copied() -> None:
    allowed = [
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    ]
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE.read_text(), re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert copied >= {"constraints.txt", "docker/triton-entrypoint"}
    for source in copied - {"."}:
        assert (ROOT / source).exists()
        assert any(fnmatch(source, pattern) for pattern in allowed), source
    # And what the wheel is built from.
    for pattern in allowed:
        assert (ROOT / pattern).exists(), pattern


@pytest.mark.parametrize("script", ["triton-entrypoint", "triton-health"])
def test_scripts_can_be_run(script: str) -> None:
    assert (ROOT / "docker" / script).stat().st_mode & 0o111 == 0o111


def test_the_health_check_names_a_connection_that_ends_early() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ending = threading.Thread(target=lambda: server.accept()[0].close())
        ending.start()
        done = subprocess.run(
            [sys.executable, ROOT / "docker" / "triton-health", "live"],
            env={**os.environ, "TRITON_HTTP_PORT": str(server.getsockname()[1])},
            capture_output=True,
            text=True,
        )
        ending.join()
    assert done.returncode == 1
    assert done.stderr.startswith("tritonserver is not live: ")


MISSING = """
import sys, types

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}")

sys.meta_path.insert(0, Missing())
# Triton's own, which its Python backend brings along.
sys.modules["triton_python_backend_utils"] = types.ModuleType("triton_python_backend_utils")
sys.path.insert(0, {folder!r})
import model
assert model.TritonPythonModel
"""


@pytest.mark.parametrize("model", ["human_keypoint_detection", "human-keypoint-detection"])
def test_models_need_nothing_of_other_images(model: str) -> None:
    """What the extra `triton` leaves out: engines, conversion and the REST service."""
    others = {
        *("openvino", "onnxruntime", "onnx", "pytriton", "tqdm", "psutil"),
        *("fastapi", "starlette", "uvicorn", "prometheus_client", "tritonpose_server.models"),
    }
    folder = str(ROOT / "model_repository" / model / "1")
    program = MISSING.format(names=sorted(others), folder=folder)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
