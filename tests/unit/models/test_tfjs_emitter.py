"""Walking graph models and emitting what tensors depend on."""

import numpy as np
import pytest

from tfjs_graphs import graph_model, node, placeholder, run_emission, run_model
from tritonpose_server.models.open_models.tfjs.emitter import Emitter
from tritonpose_server.models.open_models.tfjs.graph_builder import GraphBuilder, Value
from tritonpose_server.models.open_models.tfjs.graph_model import (
    GraphModelError,
    UnsupportedOpError,
)

X = placeholder("x", 1, 2, 2, 1)
IMAGE = np.array([-1.0, 2.0, -3.0, 4.0], np.float32).reshape(1, 2, 2, 1)


def emitter_of(model):
    graph = GraphBuilder()
    emitter = Emitter(model, graph)
    emitter.feed("x", Value("image", (None, 2, 2, 1), feature_map=True))
    return emitter, graph


def test_unknown_operation_names_itself_and_its_node(tmp_path):
    model = graph_model(tmp_path, [X, node("here", "FancyOp", "x")])
    with pytest.raises(UnsupportedOpError, match="FancyOp node 'here'"):
        run_emission(model, ["here"], IMAGE)


def test_what_is_not_asked_for_is_not_emitted(tmp_path):
    nodes = [node("before", "FancyOp"), node("x", "FancyOp", "before"), node("y", "Relu", "x")]
    model = graph_model(tmp_path, [*nodes, node("after", "FancyOp", "y")])
    (result,) = run_emission(model, ["y"], IMAGE)
    np.testing.assert_array_equal(result, np.maximum(IMAGE, 0))


@pytest.mark.parametrize(
    ("nodes", "tensor", "message"),
    [
        ([], "ghost", "no node 'ghost'"),
        ([node("y", "Relu", "ghost")], "y", "no node 'ghost'"),
        ([node("y", "Relu", "x")], "y:1", "'y' has 1 outputs, but output 1"),
        ([node("y", "Relu")], "y", "Relu node 'y' is malformed"),
        ([node("a", "Relu", "b"), node("b", "Relu", "a")], "a", "circle"),
    ],
)
def test_malformed_graphs(tmp_path, nodes, tensor, message):
    model = graph_model(tmp_path, [X, *nodes])
    with pytest.raises(GraphModelError, match=message):
        run_emission(model, [tensor], IMAGE)


def test_feeding_a_node_that_is_not_there(tmp_path):
    emitter, _ = emitter_of(graph_model(tmp_path, [X]))
    with pytest.raises(GraphModelError, match="no node 'ghost'"):
        emitter.feed("ghost", Value("image", (None, 2, 2, 1), feature_map=True))


def test_nodes_are_emitted_once(tmp_path):
    nodes = [X, node("a", "Relu", "x"), node("b", "Sigmoid", "a"), node("c", "AddV2", "a", "b:0")]
    emitter, graph = emitter_of(graph_model(tmp_path, nodes))
    first, again = emitter.emit("c"), emitter.emit("c:0")
    assert first == again
    model = graph.model("test", {"image": (1, 2, 2)}, {first.name: (1, 2, 2)})
    assert sorted(entry.op_type for entry in model.graph.node) == ["Add", "Relu", "Sigmoid"]


def test_deep_graphs(tmp_path):
    depth = 3000
    nodes = [X] + [node(f"n{i}", "Relu", f"n{i - 1}" if i else "x") for i in range(depth)]
    emitter, graph = emitter_of(graph_model(tmp_path, nodes))
    output = emitter.emit(f"n{depth - 1}").name
    model = graph.model("test", {"image": (1, 2, 2)}, {output: (1, 2, 2)})
    assert len(model.graph.node) == depth


def test_model_runs_on_older_runtimes_with_any_batch(tmp_path):
    emitter, graph = emitter_of(graph_model(tmp_path, [X, node("y", "Relu", "x")]))
    output = emitter.emit("y").name
    model = graph.model("test", {"image": (1, 2, 2)}, {output: (1, 2, 2)})
    assert model.ir_version <= 9
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    for batch in (1, 3):
        image = np.repeat(IMAGE.transpose(0, 3, 1, 2), batch, axis=0)
        np.testing.assert_array_equal(run_model(model, image)[0], np.maximum(image, 0))
