"""Operations on ONNX graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from paddle_networks import Graph, run_model, signature
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph.onnx_graph import cut_at, load_model

X = np.array([[1, 2], [3, 4]], np.float32)
Y = np.array([[10, 20]], np.float32)


def two_branches() -> onnx.ModelProto:
    """``sum = 2 x + y`` and ``product = 3 y``."""
    graph = Graph()
    graph.input("x", "N", 2)
    graph.input("y", 1, 2)
    graph.node("Mul", ["x", graph.constant("two", [2], np.float32)], "double")
    graph.node("Add", ["double", "y"], "sum")
    graph.node("Mul", ["y", graph.constant("three", [3], np.float32)], "product")
    graph.output("sum", "N", 2)
    graph.output("product", 1, 2)
    return graph.model()


def names(tensors: object) -> set[str]:
    return {tensor.name for tensor in tensors}  # type: ignore[attr-defined]


@pytest.mark.parametrize("damage", ["garbage", "empty", "unknown input", "unknown operator"])
def test_load_invalid(tmp_path: Path, damage: str) -> None:
    model = two_branches()
    if damage == "unknown input":
        model.graph.node[0].input[0] = "nowhere"
    elif damage == "unknown operator":
        model.graph.node[0].op_type = "Nonsense"
    path = tmp_path / "model.onnx"
    with pytest.raises(ConversionError, match=r"model\.onnx is missing"):
        load_model(path)
    contents = {"garbage": b"\xff" * 40, "empty": b""}
    path.write_bytes(contents.get(damage, model.SerializeToString()))
    with pytest.raises(ConversionError, match=r"model\.onnx is not a valid ONNX model"):
        load_model(path)


@pytest.mark.parametrize(
    ("tensor", "nodes", "inputs", "constants", "expected"),
    [
        ("double", ["Mul"], {"x"}, {"two"}, [[2, 4], [6, 8]]),
        ("sum", ["Mul", "Add"], {"x", "y"}, {"two"}, [[12, 24], [16, 28]]),
        ("product", ["Mul"], {"y"}, {"three"}, [[30, 60]]),
    ],
)
def test_cut(
    tensor: str,
    nodes: list[str],
    inputs: set[str],
    constants: set[str],
    expected: list[list[float]],
) -> None:
    model = two_branches()
    cut = cut_at(model, {tensor: ["batch", 2]})
    assert model == two_branches()
    assert [node.op_type for node in cut.graph.node] == nodes
    assert names(cut.graph.input) == inputs
    assert names(cut.graph.initializer) == constants
    assert signature(cut.graph.output) == [(tensor, onnx.TensorProto.FLOAT, ["batch", 2])]
    feeds = {name: {"x": X, "y": Y}[name] for name in inputs}
    np.testing.assert_array_equal(run_model(cut, **feeds)[tensor], expected)


def test_cut_keeps_what_subgraphs_use() -> None:
    tensor = onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["N", 2])
    add = onnx.helper.make_node("Add", ["twice", "one"], ["z"])
    branch = onnx.helper.make_graph([add], "branch", [], [tensor])
    graph = Graph()
    graph.input("x", "N", 2)
    graph.node("Add", ["x", "x"], "twice")
    graph.constant("one", [1], np.float32)
    yes = graph.constant("yes", True, np.bool_)
    graph.node("If", [yes], "y", then_branch=branch, else_branch=branch)
    cut = cut_at(graph.model(), {"y": ["N", 2]})
    np.testing.assert_array_equal(run_model(cut, x=X)["y"], 2 * X + 1)


def test_cut_keeps_order_and_versions() -> None:
    cut = cut_at(two_branches(), {"product": ["N", 2], "double": ["N", 2]})
    assert [tensor.name for tensor in cut.graph.output] == ["product", "double"]
    assert [(opset.domain, opset.version) for opset in cut.opset_import] == [("", 16)]
    assert cut.ir_version == 8
