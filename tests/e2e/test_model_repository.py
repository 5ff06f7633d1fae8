"""The model repository as it lies in the checkout, served by a plain tritonserver."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from contextlib import closing, redirect_stderr
from pathlib import Path

import onnx
import pytest

import reference_data
from own_triton import own_triton
from tools.fetch_models import main
from tritonpose.transport import Transport, connect
from tritonpose.transport.messages import InferRequest
from tritonpose_server.embedded import resources
from tritonpose_server.models.catalog import PADDLEX_MODELS

# The first conversion makes the environment for Paddle, which takes minutes.
pytestmark = [reference_data.needed, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A copy of the folder, filled by the command from directories and archives; what it said."""
    folder = tmp_path_factory.mktemp("plain")
    target = folder / "model_repository"
    weights = shutil.ignore_patterns("model.onnx", "model.plan", "__pycache__")
    shutil.copytree(resources.model_repository(), target, ignore=weights)
    published = folder / "published"
    published.mkdir()
    models = reference_data.ROOT / "models"
    for source in (*models.glob("archives/*.tar.xz"), *models.glob("PP-*")):
        (published / source.name).symlink_to(source)
    said = io.StringIO()
    with redirect_stderr(said):
        assert main(["--from", str(published), "--repository", str(target)]) == 0
    return target, said.getvalue()


@pytest.fixture(scope="module")
def repository(filled: tuple[Path, str]) -> Path:
    return filled[0]


@pytest.fixture(scope="module")
def transport(repository: Path) -> Iterator[Transport]:
    with (
        own_triton(repository, repository.parent, entrypoint=False) as triton,
        closing(connect(triton.grpc_url)) as connection,
    ):
        yield connection


def test_the_command_fills_in_all_that_paddlex_publishes(repository: Path) -> None:
    folders = {path.parent.parent.name for path in repository.glob("*/1/model.onnx")}
    assert folders == set(PADDLEX_MODELS)


def test_its_detectors_agree_with_paddle(filled: tuple[Path, str]) -> None:
    repository, said = filled
    agreement = (
        r"(PP-YOLOE-._human): boxes differ by up to (\S+) px, scores by up to (\S+), in (\d+) "
        r"detections, on \d+ images, compared with Paddle\n"
    )
    found = re.findall(agreement, said)
    assert {name for name, *_ in found} == {"PP-YOLOE-S_human", "PP-YOLOE-L_human"}
    for _, box_px, score, rows in found:
        assert float(box_px) < 0.05
        assert float(score) < 1e-4
        assert int(rows) > 50
    network = onnx.load(repository / "PP-YOLOE-S_human/1/model.onnx")
    # Constants are folded: paddle2onnx writes 1087 nodes.
    assert len(network.graph.node) < 600


@pytest.mark.parametrize("keypoint_model", ["PP-TinyPose_128x96", "PP-TinyPose_256x192", None])
@pytest.mark.parametrize("detector", ["PP-YOLOE-S_human", "PP-YOLOE-L_human", None])
def test_all_of_it_is_served(
    transport: Transport, photo: Path, detector: str | None, keypoint_model: str | None
) -> None:
    """The detectors' weights here are made up: only the keypoint models' results mean something."""
    image = photo.read_bytes()
    asked = InferRequest(image=image, detector=detector, keypoint_model=keypoint_model)
    found = transport.infer(asked)
    assert found.keypoints.shape == (len(found.boxes), 17, 3)
