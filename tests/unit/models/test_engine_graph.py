"""Graphs for TensorRT: precision written into the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from quantizable_model import images, quantizable_model
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph.engine_graph import EnginePrecision, engine_graph
from tritonpose_server.models.graph.half_precision import to_half


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    inferred = shape_inference.infer_shapes(model, strict_mode=True)
    tensors = [*inferred.graph.value_info, *inferred.graph.output]
    return {tensor.name: tensor.type.tensor_type.elem_type for tensor in tensors}


def run(model: onnx.ModelProto, batch: Sequence[np.ndarray]) -> np.ndarray:
    """With every intermediate result rounded to its type, which ONNX Runtime leaves out."""
    return np.asarray(ReferenceEvaluator(model).run(None, {"image": np.stack(batch)})[0])


def network(*nodes: onnx.NodeProto, weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 4, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", "c", "h", "w"])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def convolution(source: str, name: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, "w"], [name])


WEIGHT = {"w": np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1)}


def half_network(*nodes: onnx.NodeProto, weights: Any = None) -> onnx.ModelProto:
    return to_half(network(*nodes, weights=WEIGHT | (weights or {})))


@pytest.mark.parametrize(("precision", "most"), [("fp16", 0.01), ("int8", 0.1)])
def test_results_are_near_fp32_but_rounded(precision: EnginePrecision, most: float) -> None:
    batch = images(4)
    expected = run(engine_graph(quantizable_model(), "fp32"), batch)
    found = run(engine_graph(quantizable_model(), precision, batch), batch)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < most * np.abs(expected).max()


# --- FP16 ---


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_inputs_and_outputs_keep_their_types(precision: EnginePrecision) -> None:
    """TensorRT takes uint8 for inputs only, and nothing but a cast of them."""
    graph = engine_graph(quantizable_model(), precision, images(2)).graph
    types = [(t.name, t.type.tensor_type.elem_type) for t in [*graph.input, *graph.output]]
    assert types == [("image", TensorProto.UINT8), ("heatmap", TensorProto.FLOAT)]
    assert [node.op_type for node in graph.node if "image" in node.input] == ["Cast"]


def test_before_the_first_and_after_the_last_convolution_is_fp32() -> None:
    half = half_network(
        helper.make_node("Mul", ["x", "x"], ["before"]),
        convolution("before", "first"),
        helper.make_node("Relu", ["first"], ["between"]),
        convolution("between", "last"),
        helper.make_node("Sigmoid", ["last"], ["after"]),
        helper.make_node("Mul", ["after", "after"], ["y"]),
    )
    types = types_of(half)
    made_in = {node.op_type: types[node.output[0]] for node in half.graph.node}
    assert made_in["Sigmoid"] == made_in["Mul"] == TensorProto.FLOAT
    assert made_in["Conv"] == made_in["Relu"] == TensorProto.FLOAT16
    assert [node.op_type for node in half.graph.node].count("Cast") == 2


def test_a_tensor_for_both_sides_is_cast_once() -> None:
    half = half_network(
        convolution("x", "a"),
        convolution("a", "b"),
        helper.make_node("GlobalAveragePool", ["a"], ["side"]),
        helper.make_node("Mul", ["side", "a"], ["scaled"]),
        helper.make_node("Add", ["scaled", "b"], ["y"]),
    )
    casts = [node for node in half.graph.node if node.op_type == "Cast"]
    assert sorted(node.output[0] for node in casts) == ["a", "b", "x/fp16"]


def test_scales_of_resize_stay_fp32() -> None:
    half = half_network(
        convolution("x", "a"),
        helper.make_node("Resize", ["a", "", "scales"], ["b"], mode="nearest"),
        convolution("b", "y"),
        weights={"scales": np.array([1, 1, 2, 2], np.float32)},
    )
    (resize,) = (node for node in half.graph.node if node.op_type == "Resize")
    assert list(resize.input) == ["a/fp16", "", "scales"]


def test_limits_are_cut_to_the_range_of_fp16() -> None:
    lowest = np.array(np.finfo(np.float32).min)
    half = half_network(
        convolution("x", "a"),
        helper.make_node("Clip", ["a", "low"], ["b"]),
        convolution("b", "y"),
        weights={"low": lowest},
    )
    limits = {t.name: numpy_helper.to_array(t) for t in half.graph.initializer}
    assert limits["low/fp16"] == -65504


def test_weights_beyond_fp16() -> None:
    model = network(convolution("x", "y"), weights={"w": WEIGHT["w"] * np.float32(1e6)})
    with pytest.raises(ConversionError, match=r"'w' has values beyond 65504.*precision fp32"):
        to_half(model)


# --- INT8 ---


def test_int8_is_signed_and_symmetric() -> None:
    """What TensorRT asks for."""
    graph = engine_graph(quantizable_model(), "int8", images(4)).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    quantized = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    # Inputs and weights of the two dense convolutions.
    assert len(quantized) == 4
    for node in quantized:
        zero = values[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()
        assert values[node.input[1]].dtype == np.float16
        assert values[node.input[1]].all()


def test_no_cast_parts_quantized_tensors_from_their_convolution() -> None:
    graph = engine_graph(quantizable_model(), "int8", images(4)).graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    inputs = [
        [makers.get(name) for name in node.input[:2]]
        for node in graph.node
        if node.op_type == "Conv"
    ]
    assert inputs.count(["DequantizeLinear", "DequantizeLinear"]) == 2
    assert not any("Cast" in kinds for kinds in inputs[1:])


# --- what does not do ---


def test_operators_that_tensorrt_does_not_know() -> None:
    model = quantizable_model()
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    node = helper.make_node("Gelu", ["heatmap"], ["other"], domain="com.microsoft")
    model.graph.node.append(node)
    model.graph.output[0].name = "other"
    with pytest.raises(ConversionError, match=r"operators of com\.microsoft"):
        engine_graph(model, "fp16")


def test_scales_of_weights_that_are_nearly_zero_stay_positive() -> None:
    """TensorRT takes no other ones, and in FP16 they would be 0."""
    model = quantizable_model()
    (weight,) = (w for w in model.graph.initializer if w.name.endswith("dense/weight"))
    values = numpy_helper.to_array(weight).copy()
    values[3] *= 1e-9
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    graph = engine_graph(model, "int8", images(4))
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    kinds = ("QuantizeLinear", "DequantizeLinear")
    scales = [tensors[n.input[1]] for n in graph.graph.node if n.op_type in kinds]
    assert any(scale.dtype == np.float16 and scale.size > 1 for scale in scales)
    assert all((scale > 0).all() for scale in scales)
    found, expected = run(graph, images(4)), run(engine_graph(model, "fp32"), images(4))
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
