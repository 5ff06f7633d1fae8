"""Comparing models with what they were converted from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import helper, numpy_helper

from paddle_networks import (
    detector_network,
    detector_reference,
    inference_yml,
    keypoint_network,
    keypoint_reference,
)
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph import detector_graph, keypoint_graph
from tritonpose_server.models.paddle.inference_yml import InferenceYml, read_inference_yml
from tritonpose_server.models.paddle.model import PaddleModel
from tritonpose_server.models.paddle.verification import Agreement, verify_model

Arrays = list[np.ndarray]

WRONG_MEAN = (0.5, 0.456, 0.406)


class Source:
    """A source computed by numpy."""

    runs_with = "numpy"

    def __init__(self, compute: Callable[[np.ndarray], Arrays]) -> None:
        self._compute, self.runs = compute, 0

    def run(self, images: Sequence[np.ndarray], _progress: object) -> list[Arrays]:
        self.runs += 1
        assert all(image.dtype == np.float32 and image.shape[:2] == (1, 3) for image in images)
        return [self._compute(image.astype(np.float64)) for image in images]


@pytest.fixture
def keypoint_yml(tmp_path: Path) -> InferenceYml:
    return read(tmp_path, "keypoint", 32, 24)


@pytest.fixture
def detector_yml(tmp_path: Path) -> InferenceYml:
    return read(tmp_path, "detector", 32, 48)


def read(folder: Path, role: str, height: int, width: int, **changes: Any) -> InferenceYml:
    path = folder / f"{role}.yml"
    path.write_text(yaml.safe_dump(inference_yml(role, height, width, **changes)))
    return read_inference_yml(path)


def servable_keypoint_model(yml: InferenceYml, **options: Any) -> onnx.ModelProto:
    return keypoint_graph.servable_keypoint_model(keypoint_network(32, 24, **options), yml)


def servable_detector(yml: InferenceYml, **options: Any) -> onnx.ModelProto:
    return detector_graph.servable_detector(detector_network(32, 48, **options), yml).model


def with_mean(yml: InferenceYml, mean: tuple[float, float, float]) -> InferenceYml:
    return replace(yml, normalization=replace(yml.normalization, mean=mean))


def swap_channels(model: onnx.ModelProto) -> None:
    """Read the image as BGR, in place."""
    order = numpy_helper.from_array(np.array([2, 1, 0], np.int64), "order")
    model.graph.initializer.append(order)
    (cast,) = (node for node in model.graph.node if "image" in node.input)
    cast.input[:] = ["swapped"]
    model.graph.node.insert(0, helper.make_node("Gather", ["image", "order"], ["swapped"], axis=3))


def change_output(model: onnx.ModelProto, output: str, operator: str, value: Any) -> None:
    """Apply an operator to an output, in place."""
    (node,) = (node for node in model.graph.node if output in node.output)
    node.output[:] = ["before"]
    model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), "change"))
    model.graph.node.append(helper.make_node(operator, ["before", "change"], [output]))


def keypoints(image: np.ndarray) -> Arrays:
    """What the toy keypoint model gives: an argmax and the heatmap."""
    heatmap = keypoint_reference(image).astype(np.float32)
    return [heatmap.reshape(1, 17, -1).argmax(axis=2), heatmap]


def detections(image: np.ndarray, count: int = 8, classes: int = 1) -> Arrays:
    """The toy detector's best candidates of each class, as rows, and their number."""
    boxes, scores = detector_reference(image)
    rows = [
        [label, scores[0, label, index], *boxes[0, index]]
        for label in range(classes)
        for index in np.argsort(-scores[0, label])[:count]
    ]
    return [np.array(rows, np.float32), np.array([len(rows)], np.int32)]


def verify(model: onnx.ModelProto, yml: InferenceYml, source: Any) -> Agreement:
    return verify_model(model, yml, source, lambda _: None)


def test_keypoint_model(keypoint_yml: InferenceYml) -> None:
    lines: list[str] = []
    agreement = verify_model(
        servable_keypoint_model(keypoint_yml), keypoint_yml, Source(keypoints), lines.append
    )
    assert agreement.heatmap is not None
    assert 0 < agreement.heatmap < 1e-5
    assert replace(agreement, heatmap=0) == Agreement("numpy", 4, True, heatmap=0)
    assert lines == ["comparing PP-TinyPose_32x24 with numpy"]


def test_detector(detector_yml: InferenceYml) -> None:
    agreement = verify(servable_detector(detector_yml), detector_yml, Source(detections))
    assert agreement.box_px is not None
    assert agreement.score is not None
    assert 0 < agreement.box_px < 1e-4
    assert 0 < agreement.score < 1e-5
    expected = Agreement("numpy", 4, True, box_px=0, score=0, rows=32)
    assert replace(agreement, box_px=0, score=0) == expected
    assert "in 32 detections" in str(agreement)


def test_only_the_person_class_is_compared(tmp_path: Path) -> None:
    yml = read(tmp_path, "detector", 32, 48, label_list=["car", "person", "dog"])
    model = servable_detector(yml, classes=3)
    source = Source(lambda image: detections(image, classes=3))
    agreement = verify_model(model, yml, source, print, classes=(1,))
    assert agreement.rows == 32


def test_unconverted_graph_as_source(tmp_path: Path, detector_yml: InferenceYml) -> None:
    onnx.save(detector_network(32, 48), tmp_path / "inference.onnx")
    agreement = verify(servable_detector(detector_yml), detector_yml, PaddleModel(tmp_path))
    assert agreement.compared_with == "the unconverted ONNX model"
    assert (agreement.rows or 0) > 20


# Models that are wrong


CHANGES: dict[str, tuple[str, str, Any]] = {
    "add": ("heatmap", "Add", 1.2e-3),
    "nan": ("heatmap", "Mul", np.nan),
    "offset": ("boxes", "Add", 1),
    "edges": ("boxes", "Add", [0, 0, 1, 1]),
    "score": ("scores", "Add", 1.2e-3),
    "nan box": ("boxes", "Mul", np.nan),
    "nan score": ("scores", "Mul", np.nan),
}


@pytest.mark.parametrize(
    ("role", "mistake", "words"),
    [
        *(("keypoint", x, "heatmaps differ by up to") for x in ("mean", "channels", "add", "nan")),
        ("detector", "mean", "boxes differ by up to"),
        ("detector", "channels", "boxes differ by up to"),
        ("detector", "offset", "boxes differ by up to 1 px"),
        ("detector", "edges", "boxes differ by up to 1 px"),
        ("detector", "score", "scores by up to 0.0012"),
        ("detector", "nan box", "boxes differ by up to nan px"),
        ("detector", "nan score", "scores by up to nan"),
        ("detector", "class", "scores by up to"),
    ],
)
def test_wrong_models(tmp_path: Path, role: str, mistake: str, words: str) -> None:
    if role == "keypoint":
        right, make, find = read(tmp_path, role, 32, 24), servable_keypoint_model, keypoints
    else:
        right, make, find = read(tmp_path, role, 32, 48), servable_detector, detections
    model = make(with_mean(right, WRONG_MEAN) if mistake == "mean" else right)
    if mistake == "channels":
        swap_channels(model)
    elif mistake in CHANGES:
        change_output(model, *CHANGES[mistake])
    source = Source(lambda image: of_class(image, 1) if mistake == "class" else find(image))
    with pytest.raises(ConversionError, match=f"not be the same after .*{words}(?! 0,)"):
        verify(model, right, source)


def of_class(image: np.ndarray, label: int) -> Arrays:
    """Detections of another class, which the source says are persons."""
    rows, count = detections(image, classes=label + 1)
    rows = rows[rows[:, 0] == label]
    rows[:, 0] = 0
    return [rows, count]


Change = Callable[[np.ndarray], np.ndarray]


def without(row: int) -> Change:
    return lambda rows: np.delete(rows, row, axis=0)


def shifted(column: int, change: float) -> Change:
    """A single value of a single detection differs."""
    return lambda rows: rows + change * (np.indices(rows.shape) == [[[5]], [[column]]]).all(axis=0)


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        # Only the best candidate can't have been suppressed.
        (without(0), True),
        (without(3), False),
        (shifted(2, 0.19), False),
        (shifted(2, 0.21), True),
        (shifted(5, 0.21), True),
        (shifted(1, 9e-4), False),
        (shifted(1, 1.1e-3), True),
    ],
)
def test_detections_that_differ(detector_yml: InferenceYml, change: Change, refused: bool) -> None:
    source = Source(lambda image: [change(detections(image)[0]).astype(np.float32)])
    model = servable_detector(detector_yml)
    if refused:
        with pytest.raises(ConversionError, match="would not be the same"):
            verify(model, detector_yml, source)
    else:
        assert verify(model, detector_yml, source).rows in (28, 32)


# Batches


@pytest.mark.parametrize(
    ("spoil", "batches"), [("", True), ("reshape", False), ("mix", False), ("first", False)]
)
def test_batches(tmp_path: Path, keypoint_yml: InferenceYml, spoil: str, batches: bool) -> None:
    """Where only batches are wrong, single images are still compared."""
    network = keypoint_network(32, 24, spoil=spoil)
    model = keypoint_graph.servable_keypoint_model(network, keypoint_yml)
    onnx.save(network, tmp_path / "inference.onnx")
    agreement = verify(model, keypoint_yml, PaddleModel(tmp_path))
    assert agreement.batches is batches
    assert agreement.heatmap is not None
    assert agreement.heatmap < 1e-5


# Nothing to compare


@pytest.mark.parametrize("filler", [np.empty((0, 6)), np.full((1, 6), -1.0), np.zeros((1, 6))])
def test_other_images_are_tried(detector_yml: InferenceYml, filler: np.ndarray) -> None:
    nothing = [filler.astype(np.float32), np.array([0], np.int32)]
    source = Source(lambda image: nothing if source.runs < 3 else detections(image))
    agreement = verify(servable_detector(detector_yml), detector_yml, source)
    assert (agreement.images, agreement.rows) == (12, 32)
    never = Source(lambda _: nothing)
    with pytest.raises(ConversionError, match=r"finds nothing on 16 made-up .* score threshold"):
        verify(servable_detector(detector_yml), detector_yml, never)


@pytest.mark.parametrize(
    ("role", "outputs", "words"),
    [
        *(
            ("keypoint", outputs, r"a heatmap of shape \(1, 17, 8, 6\) was expected")
            for outputs in ([], [np.zeros((1, 17, 8))], [np.zeros((1, 16, 8, 6), np.float32)])
        ),
        ("detector", [np.zeros((1, 24, 4))], r"detections of shape \(n, 6\) .* \(1, 24, 4\)"),
    ],
)
def test_sources_with_other_outputs(
    keypoint_yml: InferenceYml, detector_yml: InferenceYml, role: str, outputs: Arrays, words: str
) -> None:
    source = Source(lambda _: outputs)
    model, yml = (
        (servable_keypoint_model(keypoint_yml), keypoint_yml)
        if role == "keypoint"
        else (servable_detector(detector_yml), detector_yml)
    )
    with pytest.raises(ConversionError, match=words):
        verify(model, yml, source)
