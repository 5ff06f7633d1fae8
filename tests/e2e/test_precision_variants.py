"""bf16 and INT8 variants, served beside the models they were made of."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tritonpose.transport import Transport, connect
from tritonpose.transport.messages import InferRequest, PoseResponse
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.engines.openvino import cpu_has_bf16
from tritonpose_server.models.catalog import DEFAULT_DETECTOR, DEFAULT_KEYPOINT_MODEL
from tritonpose_server.models.precision import make_bf16, make_variant
from tritonpose_server.models.store import ModelStore

# A joint counts from this score.
CLEAR = 0.3


@pytest.fixture(scope="module")
def variant_store(
    installed_open_models: list[Path], photo: Path, tmp_path_factory: pytest.TempPathFactory
) -> ModelStore:
    """The open models and their variants."""
    store = ModelStore(tmp_path_factory.mktemp("variants"))
    for model in installed_open_models:
        shutil.copytree(model, store.path(model.name))
    for model in installed_open_models:
        make_variant(store, model.name, "int8", [photo], print)
        # Not by `make_variant`, which refuses where it gains nothing: it must be served there, too.
        make_bf16(store, model.name)
    return store


@pytest.fixture(scope="module")
def triton_log() -> Iterator[list[str]]:
    """What Triton logs in this module."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("tritonpose.triton")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield lines
    logger.setLevel(level)
    logger.removeHandler(handler)


@pytest.fixture(scope="module")
def variant_server(
    variant_store: ModelStore,
    triton_log: list[str],  # noqa: ARG001 - listens from before the start
) -> Iterator[EmbeddedServer]:
    settings = PipelineSettings(DEFAULT_DETECTOR, DEFAULT_KEYPOINT_MODEL)
    with EmbeddedServer(sorted(variant_store.root.iterdir()), settings) as server:
        yield server


@pytest.fixture(scope="module")
def transport(variant_server: EmbeddedServer) -> Iterator[Transport]:
    with closing(connect(variant_server.grpc_url)) as connection:
        yield connection


@pytest.fixture(scope="module")
def fp32(transport: Transport, photo: Path) -> PoseResponse:
    return transport.infer(InferRequest(image=photo.read_bytes()))


def overlaps(found: PoseResponse, expected: PoseResponse) -> np.ndarray:
    """IoU of each person's boxes."""
    first = np.maximum(found.boxes[:, :2], expected.boxes[:, :2])
    last = np.minimum(found.boxes[:, 2:], expected.boxes[:, 2:])
    common = np.prod(np.maximum(last - first, 0), axis=1)
    areas = [np.prod(each.boxes[:, 2:] - each.boxes[:, :2], axis=1) for each in (found, expected)]
    return np.asarray(common / (areas[0] + areas[1] - common))


bf16_only = pytest.mark.skipif(not cpu_has_bf16(), reason="this machine's CPU has no bf16")


precisions = pytest.mark.parametrize("precision", [pytest.param("bf16", marks=bf16_only), "int8"])


@precisions
def test_keypoint_model(
    transport: Transport, fp32: PoseResponse, photo: Path, precision: str
) -> None:
    """The people are more than 350 pixels tall."""
    name = f"{DEFAULT_KEYPOINT_MODEL}-{precision}"
    found = transport.infer(InferRequest(image=photo.read_bytes(), keypoint_model=name))
    np.testing.assert_array_equal(found.boxes, fp32.boxes)
    distances = np.linalg.norm(found.keypoints - fp32.keypoints, axis=2)
    assert 0 < distances[fp32.keypoints[:, :, 2] > CLEAR].mean() < 4


@precisions
def test_detector(transport: Transport, fp32: PoseResponse, photo: Path, precision: str) -> None:
    name = f"{DEFAULT_DETECTOR}-{precision}"
    found = transport.infer(InferRequest(image=photo.read_bytes(), detector=name))
    assert len(found.boxes) == len(fp32.boxes)
    assert not np.array_equal(found.boxes, fp32.boxes)
    assert overlaps(found, fp32).min() > 0.9


@pytest.mark.skipif(cpu_has_bf16(), reason="this machine's CPU has bf16")
def test_bf16_variant_computes_in_fp32_on_a_cpu_without(
    transport: Transport, fp32: PoseResponse, photo: Path
) -> None:
    name = f"{DEFAULT_KEYPOINT_MODEL}-bf16"
    request = InferRequest(image=photo.read_bytes(), keypoint_model=name)
    np.testing.assert_allclose(transport.infer(request).keypoints, fp32.keypoints, atol=0.01)


@pytest.mark.usefixtures("variant_server")
def test_the_log_says_what_computes_in_bf16(triton_log: list[str]) -> None:
    outcome = "in bf16" if cpu_has_bf16() else "in FP32, for this CPU has no bf16"
    said = [line for line in triton_log if "computes in" in line]
    for name in (DEFAULT_DETECTOR, DEFAULT_KEYPOINT_MODEL):
        assert any(f"model {name}-bf16: computes {outcome}" in line for line in said)
    assert len(said) == 2
