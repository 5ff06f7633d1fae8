"""Detectors that were exported without non-maximum suppression, and with several classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from paddle_networks import (
    Graph,
    detector_network,
    inference_yml,
    pixels,
    run_model,
    write_model_directory,
)
from tritonpose_pipeline.repository import ModelRepository, NmsSettings, read_config
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph.raw_heads import RawHeads, find_raw_heads
from tritonpose_server.models.paddle.install import install_paddle_model
from tritonpose_server.models.store import ModelStore

ANCHORS = 24
LABELS = ["helmet", "worker", "visitor"]


def raw_network(form: str = "plain", classes: int = 3, **spoil: bool) -> onnx.ModelProto:
    """Boxes of 8 pixels around cells, and scores that depend on their color."""
    graph = Graph()
    graph.input("image", "N", 3, 32, 48)
    graph.node("AveragePool", ["image"], "pooled", kernel_shape=[8, 8], strides=[8, 8])
    weights = np.random.default_rng(3).normal(size=(classes, 3, 1, 1))
    graph.node("Conv", ["pooled", graph.constant("weights", weights, np.float32)], "maps")
    graph.node("Reshape", ["maps", graph.constant("flat", [0, classes, -1], np.int64)], "logits")
    scores = graph.node("Identity" if spoil.get("logits") else "Sigmoid", ["logits"], "scores")
    y, x = (index.reshape(-1) * 8.0 for index in np.indices((4, 6)))
    corners = np.stack([x, y, x + 8, y + 8], axis=1)[None]
    if spoil.get("centers"):
        corners[..., 2:] = 4
    if spoil.get("fractions"):
        corners /= 48
    # Different for each image, as boxes are.
    graph.node("ReduceMean", ["image"], "mean", axes=[1, 2, 3], keepdims=1)
    graph.node("Squeeze", ["mean", graph.constant("axis", [3], np.int64)], "shift")
    boxes = graph.node("Add", [graph.constant("corners", corners, np.float32), "shift"], "boxes")
    if form in ("anchors first", "together"):
        scores = graph.node("Transpose", [scores], "anchor_scores", perm=[0, 2, 1])
    if form == "together":
        table = graph.node("Concat", [boxes, scores], "table", axis=2)
        graph.output(table, "N", ANCHORS, 4 + classes)
        return graph.model()
    outputs = [(boxes, (ANCHORS, 4)), (scores, (classes, ANCHORS))]
    if form == "anchors first":
        outputs[1] = (scores, (ANCHORS, classes))
    for name, shape in outputs[::-1] if form == "other order" else outputs:
        graph.output(name, "N", *shape)
    return graph.model()


def install(
    store: ModelStore, folder: Path, network: onnx.ModelProto, *classes: str, **yml: Any
) -> Path:
    content = inference_yml("detector", 32, 48, **{"label_list": LABELS, **yml})
    write_model_directory(folder, network, content)
    return install_paddle_model(folder, "detector", store, classes=classes or None)


@pytest.mark.parametrize("form", ["plain", "anchors first", "together", "other order"])
@pytest.mark.parametrize("classes", [["worker"], ["visitor", "helmet"], ["1", "2"]])
def test_outputs(tmp_path: Path, store: ModelStore, form: str, classes: list[str]) -> None:
    network = raw_network(form)
    model = install(store, tmp_path, network, *classes)
    ids = sorted(LABELS.index(name) if name in LABELS else int(name) for name in classes)
    facts = read_config(model / "config.pbtxt").parameters
    assert json.loads(facts["labels"].string_value) == LABELS
    assert facts["classes"].string_value == ",".join(map(str, ids))
    images = pixels(3, 32, 48)
    served = run_model(onnx.load(model / "1" / "model.onnx"), image=images)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalized = ((images / 255 - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    expected = run_model(raw_network(), image=normalized)
    np.testing.assert_allclose(served["boxes"], expected["boxes"], atol=1e-4)
    scores = expected["scores"][:, ids[0] if len(ids) == 1 else ids]
    np.testing.assert_allclose(served["scores"], scores, atol=1e-5)


def test_suppression_is_that_of_the_yml(tmp_path: Path, store: ModelStore) -> None:
    """Else the pipeline does what PP-YOLOE's graph would."""
    block = {"nms_threshold": 0.5, "score_threshold": 0.25, "nms_top_k": -1, "keep_top_k": 50}
    told = install(store, tmp_path / "a", raw_network(), "worker", NMS=block)
    untold = install(store, tmp_path / "b", raw_network(), "worker")
    repository = ModelRepository(store.root)
    assert repository.detector(told.name).nms == NmsSettings(0.25, 0.5, -1, 50)
    assert repository.detector(untold.name).nms == NmsSettings(0.01, 0.6, 1000, 100)
    with pytest.raises(ConversionError, match=r"NMS\.nms_threshold must be a number, got 'high'"):
        install(store, tmp_path / "c", raw_network(), "worker", NMS={"nms_threshold": "high"})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("logits", "scores are from .* not from 0 to 1: export it with the sigmoid"),
        ("centers", "boxes are not x1, y1, x2, y2 in pixels"),
        ("fractions", "boxes are not x1, y1, x2, y2 in pixels"),
    ],
)
def test_numbers_that_mean_something_else(
    tmp_path: Path, store: ModelStore, spoil: str, words: str
) -> None:
    with pytest.raises(ConversionError, match=words):
        install(store, tmp_path, raw_network(**{spoil: True}), "worker")
    assert store.names() == []


@pytest.mark.parametrize(
    ("shapes", "count", "expected"),
    [
        ([(1, 2125, 4), (1, 1, 2125)], 1, RawHeads(0, 1, False)),
        ([(1, 80, 8400), (1, 8400, 4)], None, RawHeads(1, 0, False)),
        ([(1, 8400, 4), (1, 8400, 80), (1,)], 80, RawHeads(0, 1, True)),
        ([(1, 8400, 5)], 1, RawHeads(0, 0, True)),
        # Four classes are as many as a box has sides.
        ([(1, 300, 4), (1, 4, 300)], 4, RawHeads(0, 1, False)),
    ],
)
def test_shapes(shapes: list[tuple[int, ...]], count: int | None, expected: RawHeads) -> None:
    assert find_raw_heads(shapes, count) == expected


@pytest.mark.parametrize(
    ("shapes", "count"),
    [
        ([], None),
        ([(100, 6), (1,)], 1),
        ([(1, 300, 4), (1, 80, 300)], 2),
        ([(1, 300, 4), (1, 300, 4)], 4),
        ([(1, 84, 8400)], 80),
        ([(1, 1, 40, 40), (1, 32, 40, 40)], 1),
    ],
)
def test_shapes_of_something_else(shapes: list[tuple[int, ...]], count: int | None) -> None:
    with pytest.raises(ConversionError, match=r"boxes \[batch, A, 4\] and scores \[batch, C, A\]"):
        find_raw_heads(shapes, count)


# Classes of a detector with its suppression


def test_several_classes(tmp_path: Path, store: ModelStore) -> None:
    """Each is compared with the source's detections of its own class."""
    model = install(store, tmp_path, detector_network(32, 48, classes=3), "2", "worker")
    (provenance,) = [store.provenance(model.name)]
    assert provenance is not None
    assert provenance["classes"] == ["2", "worker"]
    assert read_config(model / "config.pbtxt").parameters["classes"].string_value == "1,2"
    # Other classes of the same weights are another model.
    other = install(store, tmp_path, detector_network(32, 48, classes=3), "worker")
    assert other != model
