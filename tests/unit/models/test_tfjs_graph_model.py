"""Reading TensorFlow.js graph models, and emitting what tensors depend on."""

import json

import numpy as np
import pytest

from tfjs_graphs import graph_model, node, placeholder, run_emission, run_model, write_model
from tritonpose_server.models.open_models.tfjs.emitter import Emitter
from tritonpose_server.models.open_models.tfjs.graph_builder import GraphBuilder, Value
from tritonpose_server.models.open_models.tfjs.graph_model import GraphModelError, load_graph_model

X = placeholder("x", 1, 2, 2, 1)
IMAGE = np.array([-1.0, 2.0, -3.0, 4.0], np.float32).reshape(1, 2, 2, 1)


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


def test_weights_stored_in_half_precision(tmp_path):
    path = write_model(tmp_path, [], {"w": np.zeros(3, np.float32)})
    content = json.loads(path.read_text())
    content["weightsManifest"][0]["weights"][0]["quantization"] = {"dtype": "float16"}
    path.write_text(json.dumps(content))
    (tmp_path / "model.bin").write_bytes(np.array([1.5, -2, 65504], "<f2").tobytes())
    weight = load_graph_model(path).weight("w")
    assert weight.dtype == np.float32
    assert weight.tolist() == [1.5, -2, 65504]


def test_nodes(tmp_path):
    nodes = [
        node("n", "Op", "a", "^b", "c:1", f=0.25, t=True, s="SAME", i=(1, 2), b=("Relu",), e=()),
        placeholder("p", -1, 4, 6, 3),
    ]
    model = graph_model(tmp_path, nodes)
    read = model.node("n")
    # Control inputs are left out.
    assert read.inputs == ("a", "c:1")
    assert (read.number("f", 1.0), read.number("absent", 1.0)) == (0.25, 1.0)
    assert (read.flag("t"), read.flag("absent")) == (True, False)
    assert (read.text("s", "VALID"), read.text("absent", "VALID")) == ("SAME", "VALID")
    assert (read.integers("i"), read.texts("b")) == ((1, 2), ("Relu",))
    assert read.integers("e") == read.integers("absent") == ()
    assert model.node("p").shape("shape") == (-1, 4, 6, 3)
    for kind in ("node", "weight"):
        with pytest.raises(GraphModelError, match=f"no {kind} 'ghost'"):
            getattr(model, kind)("ghost")


# Emission


def emitter_of(model):
    graph = GraphBuilder()
    emitter = Emitter(model, graph)
    emitter.feed("x", Value("image", (None, 2, 2, 1), feature_map=True))
    return emitter, graph


def test_what_is_not_asked_for_is_not_emitted(tmp_path):
    nodes = [node("before", "FancyOp"), node("x", "FancyOp", "before"), node("y", "Add", "x", "x")]
    model = graph_model(tmp_path, [*nodes, node("after", "FancyOp", "y")])
    (result,) = run_emission(model, ["y"], IMAGE)
    np.testing.assert_array_equal(result, IMAGE + IMAGE)


def test_nodes_are_emitted_once(tmp_path):
    nodes = [X, node("a", "LeakyRelu", "x"), node("b", "Add", "a", "x"), node("c", "Add", "a", "b")]
    emitter, graph = emitter_of(graph_model(tmp_path, nodes))
    first, again = emitter.emit("c"), emitter.emit("c:0")
    assert first == again
    model = graph.model("test", {"image": (1, 2, 2)}, {first.name: (1, 2, 2)})
    assert sorted(entry.op_type for entry in model.graph.node) == ["Add", "Add", "LeakyRelu"]


def test_deep_graphs(tmp_path):
    depth = 3000
    nodes = [X] + [node(f"n{i}", "LeakyRelu", f"n{i - 1}" if i else "x") for i in range(depth)]
    emitter, graph = emitter_of(graph_model(tmp_path, nodes))
    output = emitter.emit(f"n{depth - 1}").name
    model = graph.model("test", {"image": (1, 2, 2)}, {output: (1, 2, 2)})
    assert len(model.graph.node) == depth


def test_model_runs_on_older_runtimes_with_any_batch(tmp_path):
    emitter, graph = emitter_of(graph_model(tmp_path, [X, node("y", "Add", "x", "x")]))
    output = emitter.emit("y").name
    model = graph.model("test", {"image": (1, 2, 2)}, {output: (1, 2, 2)})
    assert model.ir_version <= 9
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    for batch in (1, 3):
        image = np.repeat(IMAGE.transpose(0, 3, 1, 2), batch, axis=0)
        np.testing.assert_array_equal(run_model(model, image)[0], 2 * image)
