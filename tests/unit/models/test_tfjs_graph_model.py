"""Reading TensorFlow.js graph models."""

import json

import numpy as np
import pytest

from tfjs_graphs import graph_model, node, placeholder, write_model
from tritonpose_server.models.open_models.tfjs.graph_model import (
    GraphModelError,
    load_graph_model,
    split_tensor_name,
)


def write_weight(directory, data, **entry):
    path = write_model(directory, [])
    content = json.loads(path.read_text())
    content["weightsManifest"][0]["weights"] = [{"name": "w", "shape": [3], **entry}]
    path.write_text(json.dumps(content))
    (directory / "model.bin").write_bytes(data)
    return path


def affine(dtype, scale=0.5, minimum=-1.0):
    return {"dtype": dtype, "scale": scale, "min": minimum}


@pytest.mark.parametrize(
    ("stored", "dtype", "quantization", "expected"),
    [
        (np.array([1.5, -2, 3], "<f4"), "float32", None, [1.5, -2, 3]),
        (np.array([1, -2, 70000], "<i4"), "int32", None, [1, -2, 70000]),
        (np.array([True, False, True]), "bool", None, [True, False, True]),
        (np.array([1.5, -2, 65504], "<f2"), "float32", {"dtype": "float16"}, [1.5, -2, 65504]),
        (np.array([0, 1, 255], "u1"), "float32", affine("uint8"), [-1, -0.5, 126.5]),
        (np.array([0, 1, 65535], "<u2"), "float32", affine("uint16"), [-1, -0.5, 32766.5]),
        (np.array([0, 3, 255], "u1"), "int32", affine("uint8", 2.0, -5.0), [-5, 1, 505]),
    ],
)
def test_weights(tmp_path, stored, dtype, quantization, expected):
    entry = {"dtype": dtype} | ({"quantization": quantization} if quantization else {})
    weight = load_graph_model(write_weight(tmp_path, stored.tobytes(), **entry)).weight("w")
    assert weight.dtype == dtype
    np.testing.assert_array_equal(weight, np.array(expected, dtype))


def test_weights_follow_each_other_across_files(tmp_path):
    weights = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.float32(7.5),
        "c": np.array([8, 9], np.int32),
    }
    path = write_model(tmp_path, [], {name: np.asarray(value) for name, value in weights.items()})
    content = json.loads(path.read_text())
    content["weightsManifest"][0]["paths"] = ["one.bin", "two.bin"]
    path.write_text(json.dumps(content))
    data = (tmp_path / "model.bin").read_bytes()
    (tmp_path / "one.bin").write_bytes(data[:10])
    (tmp_path / "two.bin").write_bytes(data[10:])
    model = load_graph_model(path)
    assert set(model.weights) == set(weights)
    for name, value in weights.items():
        np.testing.assert_array_equal(model.weight(name), value)


def test_node_attributes(tmp_path):
    nodes = [
        node("n", "Op", f=0.25, t=True, s="SAME", i=(1, 2), b=("Relu", "BiasAdd"), e=()),
        placeholder("p", -1, 4, 6, 3),
    ]
    model = graph_model(tmp_path, nodes)
    read = model.node("n")
    assert read.number("f", 1.0) == 0.25
    assert read.number("absent", 1.0) == 1.0
    assert read.flag("t") is True
    assert read.flag("absent") is False
    assert read.text("s", "VALID") == "SAME"
    assert read.text("absent", "VALID") == "VALID"
    assert read.integers("i") == (1, 2)
    assert read.integers("e") == read.integers("absent") == ()
    assert read.texts("b") == ("Relu", "BiasAdd")
    assert model.node("p").shape("shape") == (-1, 4, 6, 3)


def test_attribute_of_another_kind(tmp_path):
    read = graph_model(tmp_path, [node("here", "Conv2D", strides=0.5)]).node("here")
    with pytest.raises(GraphModelError, match=r"Conv2D node 'here'.*'strides'"):
        read.integers("strides")


def test_control_inputs_are_left_out(tmp_path):
    model = graph_model(tmp_path, [node("n", "Op", "a", "^b", "c:1")])
    assert model.node("n").inputs == ("a", "c:1")


@pytest.mark.parametrize(("name", "parts"), [("a/b", ("a/b", 0)), ("a/b:2", ("a/b", 2))])
def test_tensor_names(name, parts):
    assert split_tensor_name(name) == parts


@pytest.mark.parametrize("kind", ["node", "weight"])
def test_names_that_are_not_there(tmp_path, kind):
    model = graph_model(tmp_path, [])
    with pytest.raises(GraphModelError, match=f"no {kind} 'ghost'"):
        getattr(model, kind)("ghost")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing"),
        ("{", "is not JSON"),
        ("[]", "is not a TensorFlow.js graph model"),
        ('{"modelTopology": {"model_config": {}}}', "is not a TensorFlow.js graph model"),
        ('{"modelTopology": {"node": []}}', "is not a TensorFlow.js graph model"),
    ],
)
def test_malformed_topology(tmp_path, content, message):
    path = tmp_path / "model.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(GraphModelError, match=message):
        load_graph_model(path)


@pytest.mark.parametrize(
    ("entry", "size", "message"),
    [
        ({"dtype": "float32"}, 11, "'w' ends at byte 12, but model.bin has 11"),
        ({"dtype": "float32"}, 13, "model.bin has 13 bytes, but its weights take 12"),
        ({"dtype": "complex64"}, 24, "'w' has dtype 'complex64'"),
        ({"dtype": "float32", "quantization": {"dtype": "int4"}}, 3, "stored as 'int4'"),
        ({}, 12, "is not a TensorFlow.js graph model"),
    ],
)
def test_malformed_weights(tmp_path, entry, size, message):
    with pytest.raises(GraphModelError, match=message):
        load_graph_model(write_weight(tmp_path, bytes(size), **entry))


@pytest.mark.parametrize(
    ("file", "message"),
    [("gone.bin", "gone.bin is missing"), ("../model.bin", "does not lie beside")],
)
def test_weight_files(tmp_path, file, message):
    path = write_model(tmp_path, [])
    path.write_text(path.read_text().replace("model.bin", file))
    with pytest.raises(GraphModelError, match=message):
        load_graph_model(path)
