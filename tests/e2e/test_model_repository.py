"""The model repository as it lies in the checkout, served by a plain tritonserver."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

import reference_data
from leftovers import wait_until
from rest_service import free_port
from tools.fetch_models import main
from tritonpose.transport import connect
from tritonpose.transport.messages import InferRequest
from tritonpose_server.embedded import resources
from tritonpose_server.embedded.installation import find_libpython_directory, find_triton
from tritonpose_server.embedded.staging import stage_backends
from tritonpose_server.models.catalog import PADDLEX_MODELS

# The first conversion makes the environment for Paddle, which takes minutes.
pytestmark = [reference_data.needed, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the folder, filled by the command from directories and archives."""
    folder = tmp_path_factory.mktemp("plain")
    target = folder / "model_repository"
    weights = shutil.ignore_patterns("model.onnx", "model.plan", "__pycache__")
    shutil.copytree(resources.model_repository(), target, ignore=weights)
    published = folder / "published"
    published.mkdir()
    models = reference_data.ROOT / "models"
    for source in (*models.glob("archives/*.tar.xz"), *models.glob("PP-*")):
        (published / source.name).symlink_to(source)
    assert main(["--from", str(published), "--repository", str(target)]) == 0
    return target


@pytest.fixture(scope="module")
def url(repository: Path) -> Iterator[str]:
    """Address of a tritonserver with no settings of ours but the directory of backends."""
    triton = find_triton()
    backends = repository.parent / "backends"
    stage_backends(triton, backends)
    libraries = [str(path) for path in (find_libpython_directory(), triton.libraries) if path]
    grpc, http, metrics = (free_port() for _ in range(3))
    command = [
        *(triton.binary, f"--model-repository={repository}", f"--backend-directory={backends}"),
        *(f"--grpc-port={grpc}", f"--http-port={http}", f"--metrics-port={metrics}"),
        *("--grpc-address=127.0.0.1", "--http-address=127.0.0.1", "--metrics-address=127.0.0.1"),
    ]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": ":".join(libraries),
    }
    log = repository.parent / "triton.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        assert wait_until(lambda: process.poll() is not None or is_ready(http), 120)
        assert process.poll() is None, log.read_text()
        yield f"grpc://127.0.0.1:{grpc}"
    finally:
        process.terminate()
        try:
            process.wait(40)
        finally:
            process.kill()


def is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5) as response:
            return bool(response.status == 200)
    except (URLError, TimeoutError):
        return False


def test_the_command_fills_in_all_that_paddlex_publishes(repository: Path) -> None:
    folders = {path.parent.parent.name for path in repository.glob("*/1/model.onnx")}
    assert folders == set(PADDLEX_MODELS)


@pytest.mark.parametrize("keypoint_model", ["PP-TinyPose_128x96", "PP-TinyPose_256x192"])
@pytest.mark.parametrize("detector", ["PP-YOLOE-S_human", "PP-YOLOE-L_human"])
def test_all_of_it_is_served(url: str, photo: Path, detector: str, keypoint_model: str) -> None:
    """The detectors' weights here are made up: only the keypoint models' results mean something."""
    transport = connect(url)
    try:
        image = photo.read_bytes()
        asked = InferRequest(image=image, detector=detector, keypoint_model=keypoint_model)
        found = transport.infer(asked)
        assert found.keypoints.shape == (len(found.boxes), 17, 3)
    finally:
        transport.close()


def test_its_defaults_are_served(url: str, photo: Path) -> None:
    transport = connect(url)
    try:
        transport.infer(InferRequest(image=photo.read_bytes()))
    finally:
        transport.close()
