"""Computing at conversion what is the same in every run."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from paddle_networks import Graph, run_model
from tritonpose_server.models.graph import onnx_graph
from tritonpose_server.models.graph.onnx_graph import fold_constants

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def graph_of_everything() -> Graph:
    """Constants as nodes, computed from each other, and identities, also of the output."""
    graph = Graph(constants_as_nodes=True)
    graph.input("x", "N", 3)
    graph.constant("one", [1, 2, 3], np.float32)
    graph.constant("axes", [0], np.int64)
    graph.constant("shape", [0, 3, 1], np.int64)
    graph.node("Unsqueeze", ["one", "axes"], "row")
    graph.node("Add", ["row", "row"], "twice")
    graph.node("Identity", ["x"], "same")
    graph.node("Identity", ["same"], "again")
    graph.node("Mul", ["again", "twice"], "product")
    graph.node("Clip", ["product", "", "largest"], "clipped")
    graph.constant("largest", 20, np.float32)
    # Nodes must come in order.
    graph.nodes.insert(0, graph.nodes.pop())
    graph.node("Reshape", ["clipped", "shape"], "reshaped")
    graph.node("Identity", ["reshaped"], "y")
    graph.output("y", "N", 3, 1)
    return graph


def test_results_stay_the_same() -> None:
    model = graph_of_everything().model()
    expected = np.minimum(X * [2, 4, 6], 20)[..., None]
    np.testing.assert_array_equal(run_model(model, x=X)["y"], expected)
    fold_constants(model)
    onnx.checker.check_model(model, full_check=True)
    assert operators(model) == {"Mul": 1, "Clip": 1, "Reshape": 1, "Identity": 1}
    assert {tensor.name for tensor in model.graph.initializer} == {"twice", "largest", "shape"}
    for rows in (X, X[:1], np.tile(X, (3, 1))):
        wanted = np.minimum(rows * [2, 4, 6], 20)[..., None]
        np.testing.assert_array_equal(run_model(model, x=rows)["y"], wanted)


def test_shapes_that_depend_on_the_batch_stay() -> None:
    graph = Graph()
    graph.input("x", "N", 3)
    graph.node("Shape", ["x"], "shape")
    graph.node("ConstantOfShape", ["shape"], "y")
    graph.output("y", "N", 3)
    model = graph.model()
    fold_constants(model)
    assert operators(model) == {"Shape": 1, "ConstantOfShape": 1}


def test_constant_outputs_stay_outputs() -> None:
    graph = Graph()
    graph.input("x", "N")
    graph.constant("value", [1, 2], np.float32)
    graph.node("Neg", ["value"], "y")
    graph.output("y", 2)
    model = graph.model()
    fold_constants(model)
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_array_equal(run_model(model, x=X[:, 0])["y"], [-1, -2])


def test_initializers_that_are_inputs_may_be_overridden() -> None:
    graph = Graph()
    graph.input("x", "N", 3)
    graph.input("weight", 3)
    graph.initializers.append(numpy_helper.from_array(np.ones(3, np.float32), "weight"))
    graph.node("Neg", ["weight"], "negative")
    graph.node("Mul", ["x", "negative"], "y")
    graph.output("y", "N", 3)
    model = graph.model()
    fold_constants(model)
    assert operators(model) == {"Neg": 1, "Mul": 1}
    weight = np.array([1, 2, 3], np.float32)
    np.testing.assert_array_equal(run_model(model, x=X, weight=weight)["y"], -X * weight)
    np.testing.assert_array_equal(run_model(model, x=X)["y"], -X)


@pytest.mark.parametrize("constants_as_nodes", [False, True])
def test_large_results_are_not_stored(
    monkeypatch: pytest.MonkeyPatch, constants_as_nodes: bool
) -> None:
    """Large constants are: they are in the file already."""
    monkeypatch.setattr(onnx_graph, "_LARGEST_RESULT", 100)
    graph = Graph(constants_as_nodes=constants_as_nodes)
    graph.input("x", "N", 1, 40)
    graph.constant("row", np.arange(40)[None], np.float32)
    graph.constant("shape", [3, 40], np.int64)
    graph.node("Expand", ["row", "shape"], "large")
    graph.node("Add", ["x", "large"], "y")
    graph.output("y", "N", 3, 40)
    model = graph.model()
    fold_constants(model)
    assert operators(model) == {"Expand": 1, "Add": 1}
    assert {tensor.name for tensor in model.graph.initializer} == {"row", "shape"}


def test_graphs_with_subgraphs_stay_as_they_are() -> None:
    """The branches use a constant of the graph around them."""
    tensor = helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 3])
    branch = helper.make_graph(
        [helper.make_node("Add", ["x", "one"], ["z"])], "branch", [], [tensor]
    )
    graph = Graph(constants_as_nodes=True)
    graph.input("x", "N", 3)
    graph.constant("one", [1], np.float32)
    graph.constant("yes", True, np.bool_)
    graph.node("If", ["yes"], "y", then_branch=branch, else_branch=branch)
    graph.output("y", "N", 3)
    model = graph.model()
    before = model.SerializeToString()
    fold_constants(model)
    assert model.SerializeToString() == before
    np.testing.assert_array_equal(run_model(model, x=X)["y"], X + 1)
