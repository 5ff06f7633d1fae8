"""Models give what the network gives for the normalized image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from paddle_networks import (
    MEAN,
    STD,
    Graph,
    Suppression,
    detector_network,
    detector_reference,
    inference_yml,
    keypoint_network,
    keypoint_reference,
    normalize,
    pixels,
    run_model,
    signature,
    write_model_directory,
)
from tritonpose_pipeline.repository import NmsSettings
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph.detector_graph import servable_detector
from tritonpose_server.models.graph.keypoint_graph import servable_keypoint_model
from tritonpose_server.models.graph.model_graph import add_preprocessing
from tritonpose_server.models.paddle.inference_yml import (
    InferenceYml,
    Normalization,
    read_inference_yml,
)

FLOAT, UINT8 = onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8
CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}


def yml(folder: Path, role: str, height: int, width: int, **changes: Any) -> InferenceYml:
    content = inference_yml(role, height, width, **changes)
    return read_inference_yml(write_model_directory(folder, None, content) / "inference.yml")


def copying_network(height: int, width: int) -> onnx.ModelProto:
    """A network that gives back its input."""
    graph = Graph()
    graph.input("x", 1, 3, height, width)
    graph.node("Identity", ["x"], "y")
    graph.output("y", "batch", 3, height, width)
    return graph.model()


# --- preprocessing ---


@pytest.mark.parametrize("bgr", [False, True])
@pytest.mark.parametrize(
    ("scale", "mean", "std"),
    [
        (1 / 255, MEAN, STD),
        (1.0, [103.53, 116.28, 123.675], [57.375, 57.12, 58.395]),
        (1.0, [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
        (1 / 255, [0.1, 0.5, 0.9], [2.0, 0.25, 0.5]),
    ],
)
def test_preprocessing(scale: float, mean: list[float], std: list[float], bgr: bool) -> None:
    normalization = Normalization(scale, (mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))
    model = add_preprocessing(copying_network(5, 7), {"y": "result"}, normalization, bgr=bgr)
    images = pixels(3, 5, 7)
    expected = normalize(images[..., ::-1] if bgr else images, scale, mean, std)
    result = run_model(model, image=images)["result"]
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-4 if scale == 1 else 1e-5)


def test_names_of_the_network_do_not_matter() -> None:
    """The network may have names that the preprocessing uses itself, also in subgraphs."""
    tensor = onnx.helper.make_tensor_value_info("scaled", FLOAT, ["N", 3, 4, 4])
    add = onnx.helper.make_node("Add", ["image", "factor"], ["scaled"])
    branch = onnx.helper.make_graph([add], "branch", [], [tensor])
    graph = Graph()
    graph.input("image", "N", 3, 4, 4)
    graph.constant("factor", [1], np.float32)
    yes = graph.constant("yes", True, np.bool_)
    graph.node("If", [yes], "pixels", then_branch=branch, else_branch=branch)
    graph.node("Add", ["pixels", graph.constant("offset", [2], np.float32)], "preprocessed")
    graph.output("preprocessed", "N", 3, 4, 4)
    servable = add_preprocessing(
        graph.model(), {"preprocessed": "boxes"}, Normalization(1, (0, 0, 0), (1, 1, 1))
    )
    images = pixels(1, 4, 4)
    result = run_model(servable, image=images)["boxes"]
    np.testing.assert_array_equal(result, images.transpose(0, 3, 1, 2).astype(np.float32) + 3)


def test_invalid_result() -> None:
    network = copying_network(4, 4)
    network.graph.node[0].op_type = "Nonsense"
    with pytest.raises(ConversionError, match="the converted graph is not valid ONNX"):
        add_preprocessing(network, {"y": "y"}, Normalization(1, (0, 0, 0), (1, 1, 1)))


# --- keypoint models ---


@pytest.mark.parametrize("batch", [1, "N"])
@pytest.mark.parametrize("is_scale", [True, False])
def test_keypoint_model(tmp_path: Path, is_scale: bool, batch: int | str) -> None:
    network = keypoint_network(32, 24, batch=batch, rounded=True)
    before = network.SerializeToString()
    description = yml(tmp_path, "keypoint", 32, 24, NormalizeImage__is_scale=is_scale)
    model = servable_keypoint_model(network, description)
    assert network.SerializeToString() == before
    assert signature(model.graph.input) == [("image", UINT8, ["batch", 32, 24, 3])]
    assert signature(model.graph.output) == [("heatmap", FLOAT, ["batch", 17, 8, 6])]
    images = pixels(3, 32, 24)
    expected = keypoint_reference(normalize(images, 1 / 255 if is_scale else 1.0))
    result = run_model(model, image=images)["heatmap"]
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("options", "found"),
    [
        # The other output of that size could be the heatmap of three keypoints.
        ({"joints": 16}, "`heatmap0` FLOAT [N, 16, 8, 6]"),
        ({"heatmap_outputs": 2}, "`heatmap1` FLOAT [N, 17, 8, 6]"),
    ],
)
def test_no_single_heatmap(tmp_path: Path, options: dict[str, Any], found: str) -> None:
    with pytest.raises(ConversionError) as caught:
        servable_keypoint_model(keypoint_network(**options), yml(tmp_path, "keypoint", 32, 24))
    message = str(caught.value)
    assert "FLOAT [batch, K, 8, 6]" in message
    assert "`pooled` FLOAT [N, 3, 8, 6]" in message
    assert found in message


@pytest.mark.parametrize("joints", [1, 5, 26, 133])
def test_any_number_of_keypoints(tmp_path: Path, joints: int) -> None:
    network = keypoint_network(32, 24, joints=joints)
    description = yml(tmp_path, "keypoint", 32, 24)
    model = servable_keypoint_model(network, description, joints)
    assert signature(model.graph.output) == [("heatmap", FLOAT, ["batch", joints, 8, 6])]
    images = pixels(2, 32, 24)
    expected = keypoint_reference(normalize(images), joints)
    result = run_model(model, image=images)["heatmap"]
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    with pytest.raises(ConversionError, match=r"expected one output FLOAT \[batch, 40, 8, 6\]"):
        servable_keypoint_model(network, description, 40)
    # Nobody need say how many there are where only one output has the size of heatmaps.
    del network.graph.output[0]
    assert signature(servable_keypoint_model(network, description).graph.output) == signature(
        model.graph.output
    )


# --- detectors ---


@pytest.mark.parametrize("constants_as_nodes", [False, True])
@pytest.mark.parametrize("options", [{}, {"scale_factor": False}, {"limit": "direct"}])
@pytest.mark.parametrize("is_scale", [True, False])
def test_detector_model(
    tmp_path: Path, options: dict[str, Any], constants_as_nodes: bool, is_scale: bool
) -> None:
    network = detector_network(32, 48, constants_as_nodes=constants_as_nodes, **options)
    before = network.SerializeToString()
    description = yml(tmp_path, "detector", 32, 48, NormalizeImage__is_scale=is_scale)
    detector = servable_detector(network, description)
    model, settings = detector.model, detector.nms
    assert (detector.classes, detector.raw) == ((0,), None)
    assert network.SerializeToString() == before
    assert signature(model.graph.input) == [("image", UINT8, ["batch", 32, 48, 3])]
    assert signature(model.graph.output) == [
        ("boxes", FLOAT, ["batch", 24, 4]),
        ("scores", FLOAT, ["batch", 24]),
    ]
    assert settings == NmsSettings(
        score_threshold=float(np.float32(0.025)),
        iou_threshold=float(np.float32(0.6)),
        top_k=900,
        keep_top_k=70,
    )
    images = pixels(3, 32, 48)
    boxes, scores = detector_reference(normalize(images, 1 / 255 if is_scale else 1.0))
    result = run_model(model, image=images)
    np.testing.assert_allclose(result["boxes"], boxes, rtol=1e-4, atol=1e-5 * np.abs(boxes).max())
    np.testing.assert_allclose(result["scores"], scores[:, 0], rtol=1e-3, atol=1e-5)


def test_suppression_settings_are_the_graphs(tmp_path: Path) -> None:
    """What inference.yml says of the suppression is not what the graph does."""
    network = detector_network(suppression=Suppression(top_k=10, iou=0.5, score=0.25, keep=3))
    description = yml(
        tmp_path, "detector", 32, 48, NMS={"nms_top_k": 1000, "nms_threshold": 0.7, "keep_top_k": 9}
    )
    assert servable_detector(network, description).nms == NmsSettings(0.25, 0.5, 10, 3)


@pytest.mark.parametrize(
    ("labels", "index"),
    [
        (["person", "cat", "dog"], 0),
        (["cat", "person", "dog"], 1),
        (["cat", "dog", "Pedestrian"], 2),
        (["cat", "HUMAN", "dog"], 1),
        (["persona", "cat", "people"], 2),
        (["one of a kind"], 0),
        ([], 0),
    ],
)
def test_person_class(tmp_path: Path, labels: list[str], index: int) -> None:
    network = detector_network(classes=max(len(labels), 1))
    description = yml(tmp_path, "detector", 32, 48, label_list=labels)
    model = servable_detector(network, description).model
    images = pixels(2, 32, 48)
    _, scores = detector_reference(normalize(images))
    result = run_model(model, image=images)["scores"]
    np.testing.assert_allclose(result, scores[:, index], **CLOSE)


@pytest.mark.parametrize(
    ("labels", "wanted", "ids"),
    [
        (["工人", "visitor", "dog"], ("工人",), (0,)),
        (["worker", "person", "dog"], ("worker", "dog"), (0, 2)),
        (["worker", "person", "dog"], ("2", "worker"), (0, 2)),
        ([], ("1",), (1,)),
        ([], ("0", "2"), (0, 2)),
        # A label that looks like an id is a label first.
        (["2", "1", "0"], ("2",), (0,)),
        (["worker", "dog", "worker"], ("worker",), (0, 2)),
    ],
)
def test_chosen_classes(
    tmp_path: Path, labels: list[str], wanted: tuple[str, ...], ids: tuple[int, ...]
) -> None:
    network = detector_network(classes=3)
    description = replace(
        yml(tmp_path, "detector", 32, 48, label_list=labels or None), classes=wanted
    )
    detector = servable_detector(network, description)
    model = detector.model
    assert detector.classes == ids
    images = pixels(2, 32, 48)
    expected = detector_reference(normalize(images))[1][:, list(ids)]
    if len(ids) == 1:
        expected = expected[:, 0]
    np.testing.assert_allclose(run_model(model, image=images)["scores"], expected, **CLOSE)


@pytest.mark.parametrize(
    ("labels", "wanted", "words"),
    [
        (["worker", "dog"], "visitor", "no class 'visitor'; its classes are 0 (worker), 1 (dog)"),
        (["worker", "dog"], "2", "no class '2'; its classes are 0 (worker), 1 (dog)"),
        ([], "2", "no class '2'; its classes are 2, without labels"),
        ([], "worker", "no class 'worker'"),
        (["worker", "dog"], "-1", "no class '-1'"),
    ],
)
def test_classes_that_a_detector_lacks(
    tmp_path: Path, labels: list[str], wanted: str, words: str
) -> None:
    description = replace(
        yml(tmp_path, "detector", 32, 48, label_list=labels or None), classes=(wanted,)
    )
    with pytest.raises(ConversionError) as caught:
        servable_detector(detector_network(classes=2), description)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("options", "labels", "words"),
    [
        ({"classes": 2}, [], "label_list is missing"),
        (
            {"classes": 2},
            ["cat", "dog"],
            "is a person (pedestrian, person, human, people): cat, d",
        ),
        (
            {"classes": 3},
            ["person", "cat"],
            "scores 3 classes, label_list of",
        ),
        (
            {"classes": 1},
            ["person", "cat"],
            "scores 1 classes, label_list of",
        ),
        ({"classes": 2}, ["person"], "inference.yml has 1 labels: list one"),
        ({"suppressions": 0}, ["person"], "outputs of shapes [1, 24, 4] are not such"),
        ({"suppressions": 2}, ["person"], "one NonMaxSuppression node, the detector has 2"),
        ({"limit": "computed"}, ["person"], "no constant limit of boxes kept"),
        ({"extra_input": "mask"}, ["person"], "to fill the input `mask` FLOAT [1, 2] with"),
    ],
)
def test_detectors_that_do_not_fit(
    tmp_path: Path, options: dict[str, Any], labels: list[str], words: str
) -> None:
    with pytest.raises(ConversionError) as caught:
        servable_detector(
            detector_network(**options), yml(tmp_path, "detector", 32, 48, label_list=labels)
        )
    assert words in str(caught.value)


@pytest.mark.parametrize("position", [2, 3, 4])
def test_computed_suppression_settings(tmp_path: Path, position: int) -> None:
    network = detector_network()
    (node,) = (node for node in network.graph.node if node.op_type == "NonMaxSuppression")
    setting = onnx.helper.make_node("Identity", [node.input[position]], ["computed"])
    node.input[position] = "computed"
    network.graph.node.insert(0, setting)
    with pytest.raises(ConversionError, match="NonMaxSuppression node are not constants"):
        servable_detector(network, yml(tmp_path, "detector", 32, 48))


# --- inputs ---


@pytest.mark.parametrize("size", [(24, 32), (32, 32), (64, 24)])
def test_keypoint_size_that_differs(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(ConversionError) as caught:
        servable_keypoint_model(keypoint_network(32, 24), yml(tmp_path, "keypoint", *size))
    assert "was exported for images of 32x24" in str(caught.value)
    assert f"can't take {size[0]}x{size[1]}, which is asked for" in str(caught.value)


@pytest.mark.parametrize(
    ("size", "position"), [((32, 24), None), ((64, 40), None), ((32, 24), 0), ((32, 24), 1)]
)
def test_size_that_is_open_and_weights_that_are_inputs(
    tmp_path: Path, size: tuple[int, int], position: int | None
) -> None:
    """Old exporters list initializers among the inputs."""
    network = keypoint_network(*size)
    if position is None:
        for dim in network.graph.input[0].type.tensor_type.shape.dim[2:]:
            dim.dim_param = "open"
    else:
        weights = onnx.helper.make_tensor_value_info("weights", FLOAT, [17, 3, 1, 1])
        network.graph.input.insert(position, weights)
    model = servable_keypoint_model(network, yml(tmp_path, "keypoint", *size))
    assert signature(model.graph.input) == [("image", UINT8, ["batch", *size, 3])]
    images = pixels(2, *size)
    result = run_model(model, image=images)["heatmap"]
    np.testing.assert_allclose(result, keypoint_reference(normalize(images)), **CLOSE)
