"""NanoDet's head, on a small network with NanoDet's node names."""

import numpy as np
import pytest

from tfjs_graphs import graph_model, node, placeholder, run_model
from tritonpose_server.models.open_models.tfjs.graph_model import GraphModelError
from tritonpose_server.models.open_models.tfjs.nanodet import build_nanodet

HEADS = {8: 153, 16: 164, 32: 175}


def split_name(stride):
    return f"PartitionedCall/onnx_tf_prefix_Split_{HEADS[stride]}"


def network():
    """Nodes and weights: for each level one convolution that picks every stride-th pixel."""
    rng = np.random.default_rng(5)
    weights = {
        "nhwc": np.array([0, 2, 3, 1], np.int32),
        "nchw": np.array([0, 3, 1, 2], np.int32),
        "sizes": np.array([80, 44], np.int32),
        "axis": np.asarray(1, np.int32),
    }
    nodes = [placeholder("input_1", 1, 3, 416, 416), node("image", "Transpose", "input_1", "nhwc")]
    for stride in HEADS:
        key = f"w{stride}"
        weights[key] = rng.normal(size=(1, 1, 3, 124)).astype(np.float32)
        strides = (1, stride, stride, 1)
        nodes += [
            node(f"c{stride}", "Conv2D", "image", key, strides=strides, padding="VALID"),
            node(f"t{stride}", "Transpose", f"c{stride}", "nchw"),
            node(split_name(stride), "SplitV", f"t{stride}", "sizes", "axis"),
        ]
    return nodes, weights


def expected_detections(image, weights):
    """Boxes and scores of one NCHW image, cell by cell."""
    boxes, scores = [], []
    for stride in HEADS:
        cells = 416 // stride
        for row in range(cells):
            for column in range(cells):
                pixel = image[:, row * stride, column * stride].astype(np.float64)
                outputs = pixel @ weights[f"w{stride}"][0, 0]
                scores.append(1 / (1 + np.exp(-outputs[0])))
                bins = np.exp(outputs[80:].reshape(4, 11))
                left, top, right, bottom = stride * (bins @ np.arange(11)) / bins.sum(axis=1)
                x, y = (column + 0.5) * stride, (row + 0.5) * stride
                boxes.append([x - left, y - top, x + right, y + bottom])
    return np.clip(boxes, 0, 416), np.array(scores)


def test_detections(tmp_path):
    nodes, weights = network()
    model = build_nanodet(graph_model(tmp_path, nodes, weights))
    images = np.random.default_rng(6).normal(size=(2, 3, 416, 416)).astype(np.float32)
    boxes, scores = run_model(model, images)
    assert [output.name for output in model.graph.output] == ["boxes", "scores"]
    assert (boxes.shape, scores.shape) == ((2, 3549, 4), (2, 3549))
    assert (boxes.dtype, scores.dtype) == (np.float32, np.float32)
    for i, image in enumerate(images):
        expected_boxes, expected_scores = expected_detections(image, weights)
        assert (expected_boxes.min(), expected_boxes.max()) == (0, 416)
        np.testing.assert_allclose(boxes[i], expected_boxes, atol=1e-3)
        np.testing.assert_allclose(scores[i], expected_scores, atol=1e-6)
        alone = run_model(model, image[None])
        np.testing.assert_allclose(alone[0][0], boxes[i], atol=1e-4)
        np.testing.assert_allclose(alone[1][0], scores[i], atol=1e-6)


@pytest.mark.parametrize("missing", ["input_1", *(split_name(stride) for stride in HEADS)])
def test_model_without_a_node_it_needs(tmp_path, missing):
    nodes, weights = network()
    nodes = [entry for entry in nodes if entry["name"] != missing]
    with pytest.raises(GraphModelError, match=f"no node '{missing}'"):
        build_nanodet(graph_model(tmp_path, nodes, weights))
