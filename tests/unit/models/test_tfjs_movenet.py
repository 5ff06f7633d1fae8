"""MoveNet's head, on a small network with MoveNet's node names."""

import numpy as np
import pytest

from tensorflow_reference import convolve, resize_bilinear
from tfjs_graphs import graph_model, node, placeholder, run_model
from tritonpose_server.models.open_models.tfjs.graph_model import GraphModelError
from tritonpose_server.models.open_models.tfjs.movenet import build_movenet

SCOPE = "StatefulPartitionedCall/"
HEADS = {
    "joints": (SCOPE + "kpt_heatmap_0/conv2d_5/BiasAdd", 17),
    "centers": (SCOPE + "center_0/conv2d_4/BiasAdd", 1),
    "vectors": (SCOPE + "kpt_regress_0/conv2d_6/BiasAdd", 34),
}
NATIVE = 64


def network():
    """Nodes and weights: features of stride 8, resized to stride 4, and the heads on them."""
    rng = np.random.default_rng(3)
    weights = {
        "w": rng.normal(size=(3, 3, 3, 8)).astype(np.float32),
        "size": np.array([NATIVE // 4, NATIVE // 4], np.int32),
    }
    nodes = [
        placeholder("input", 1, NATIVE, NATIVE, 3),
        node(SCOPE + "sub_1", "Sub", "input", "input"),
        node("features", "Conv2D", SCOPE + "sub_1", "w", strides=(1, 8, 8, 1), padding="SAME"),
        node("finer", "ResizeBilinear", "features", "size", half_pixel_centers=True),
    ]
    for key, (name, channels) in HEADS.items():
        weights[key] = rng.normal(size=(1, 1, 8, channels)).astype(np.float32)
        nodes.append(node(name, "Conv2D", "finer", key, strides=(1, 1, 1, 1), padding="SAME"))
    return nodes, weights


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def expected_heatmap(image, weights):
    """Heatmap [17,h,w] of one NCHW image, joint by joint."""
    moved = np.full(image.shape, -1.0)
    moved[:, 2:, 2:] = image[:, :-2, :-2]
    nhwc = moved.transpose(1, 2, 0)[None]
    features = convolve(nhwc, weights["w"], (8, 8), (1, 1), "SAME", depthwise=False)
    rows, columns = image.shape[1] // 4, image.shape[2] // 4
    finer = resize_bilinear(features, (rows, columns))[0]
    joints, centers, vectors = (finer @ weights[key][0, 0] for key in HEADS)
    best, center = -1.0, (0, 0)
    for row in range(rows):
        for column in range(columns):
            off_middle = np.hypot(row - rows // 2, column - columns // 2)
            score = sigmoid(centers[row, column, 0]) / (off_middle + 1.8)
            if score > best:
                best, center = score, (row, column)
    heatmap = np.zeros((17, rows, columns))
    for joint in range(17):
        down, right = vectors[center][2 * joint : 2 * joint + 2]
        for row in range(rows):
            for column in range(columns):
                distance = np.hypot(row - center[0] - down, column - center[1] - right)
                weight = 1.8 / (distance + 1.8)
                heatmap[joint, row, column] = sigmoid(joints[row, column, joint]) * weight
    return heatmap


@pytest.mark.parametrize(("height", "width"), [(NATIVE, NATIVE), (96, 32), (32, 128)])
def test_heatmap(tmp_path, height, width):
    nodes, weights = network()
    model = build_movenet(graph_model(tmp_path, nodes, weights), height, width)
    images = np.random.default_rng(4).uniform(-1, 1, (3, 3, height, width)).astype(np.float32)
    (heatmaps,) = run_model(model, images)
    assert [output.name for output in model.graph.output] == ["heatmap"]
    assert heatmaps.dtype == np.float32
    for image, heatmap in zip(images, heatmaps, strict=True):
        np.testing.assert_allclose(heatmap, expected_heatmap(image, weights), atol=1e-5)
        np.testing.assert_allclose(run_model(model, image[None])[0][0], heatmap, atol=1e-6)


def test_default_size(tmp_path):
    model = build_movenet(graph_model(tmp_path, *network()))
    (heatmap,) = run_model(model, np.zeros((1, 3, 256, 192), np.float32))
    assert heatmap.shape == (1, 17, 64, 48)


@pytest.mark.parametrize(("height", "width"), [(250, 192), (256, 200), (0, 192), (256, -32)])
def test_sizes_that_do_not_line_up(tmp_path, height, width):
    with pytest.raises(ValueError, match=f"multiples of 32, got {height}x{width}"):
        build_movenet(graph_model(tmp_path, *network()), height, width)


@pytest.mark.parametrize(
    "missing", ["input", SCOPE + "sub_1", *(name for name, _ in HEADS.values())]
)
def test_model_without_a_node_it_needs(tmp_path, missing):
    nodes, weights = network()
    nodes = [entry for entry in nodes if entry["name"] != missing]
    with pytest.raises(GraphModelError, match=f"no node '{missing}'"):
        build_movenet(graph_model(tmp_path, nodes, weights), 64, 64)
    nodes, weights = network()
    del weights["size"]
    with pytest.raises(GraphModelError, match="no weight 'size'"):
        build_movenet(graph_model(tmp_path, nodes, weights), 64, 64)
