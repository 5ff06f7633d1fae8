"""Lets the inner part of a network compute in half precision (FP16)."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from tritonpose_server.models.errors import ConversionError

_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})

# Inputs that the operator takes in FP32 only: the scales and regions of interest of Resize.
_ALWAYS_FLOAT = {"Resize": (1, 2)}

# Their second input is a scale, which must not become 0: that of weights which are nearly 0 does.
_QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear"})

_SMALLEST = np.finfo(np.float16).smallest_subnormal

_GREATEST = float(np.finfo(np.float16).max)


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convert what lies between the first and the last convolutions to FP16.

    What comes before (preprocessing) and after (decoding of boxes, sigmoid, final scaling) stays in
    FP32: it costs little, and boxes of several hundred pixels would lose a quarter of a pixel.
    Inputs and outputs keep their types; graphs without convolutions are unchanged. Nodes must be
    sorted, each tensor written once, without subgraphs. A weight too large for FP16 is a
    `ConversionError`. ONNX Runtime's own converter is not used because it also rounds to FP16 what
    passes between two nodes that it leaves in FP32.
    """
    half = deepcopy(model)
    inner = _inner_nodes(half.graph)
    _Converter(half, inner).run()
    del half.graph.value_info[:]
    try:
        onnx.checker.check_model(half, full_check=True)
    except Exception as error:  # protobuf's and the checker's errors have no common base
        raise ConversionError(f"the graph in FP16 is not valid ONNX: {error}") from error
    return half


def _inner_nodes(graph: onnx.GraphProto) -> set[int]:
    """Return the indices of the nodes to convert.

    Each has a convolution after it or is one; and either has one before it, or does not depend on
    the input, as what prepares weights.
    """
    order = range(len(graph.node))
    after = _reached(graph, order, set(), forward=True)
    before = _reached(graph, reversed(order), set(), forward=False)
    fed = _reached(graph, order, {tensor.name for tensor in graph.input}, forward=True)
    return before & (after | (set(order) - fed))


def _reached(
    graph: onnx.GraphProto, order: Iterable[int], tensors: set[str], *, forward: bool
) -> set[int]:
    """Find convolutions, and what is connected to them or to given tensors in one direction."""
    found = set()
    for index in order:
        node = graph.node[index]
        sources, targets = (node.input, node.output) if forward else (node.output, node.input)
        if node.op_type in _CONVOLUTIONS or any(name in tensors for name in sources):
            found.add(index)
            tensors.update(name for name in targets if name)
    return found


class _Converter:
    """Rewrites a model so that some of its nodes compute in FP16."""

    def __init__(self, model: onnx.ModelProto, inner: set[int]) -> None:
        self._model = model
        self._inner = inner
        self._types = _element_types(model)
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._nodes: list[onnx.NodeProto] = []
        # FP32 tensors that also exist in FP16, and those of them that exist only in FP16.
        self._as_half: dict[str, str] = {}
        self._only_half: set[str] = set()

    def run(self) -> None:
        graph = self._model.graph
        outputs = {tensor.name for tensor in graph.output}
        for index, node in enumerate(graph.node):
            if index in self._inner:
                self._convert(node, outputs)
            else:
                for position, name in enumerate(node.input):
                    node.input[position] = self._float(name)
                self._nodes.append(node)
        del graph.node[:]
        graph.node.extend(self._nodes)
        self._drop_unused_weights()

    def _convert(self, node: onnx.NodeProto, outputs: set[str]) -> None:
        for position, name in enumerate(node.input):
            if position in _ALWAYS_FLOAT.get(node.op_type, ()):
                node.input[position] = self._float(name)
            elif self._types.get(name) == TensorProto.FLOAT:
                node.input[position] = self._half(name)
        if node.op_type in _QUANTIZERS and node.input[1] in self._as_half.values():
            self._keep_positive(node.input[1])
        for attribute in node.attribute:
            self._convert_attribute(node, attribute)
        self._nodes.append(node)
        for position, name in enumerate(node.output):
            if self._types.get(name) == TensorProto.FLOAT:
                node.output[position] = f"{name}/fp16"
                self._as_half[name] = node.output[position]
                self._only_half.add(name)
                if name in outputs:
                    self._float(name)

    def _convert_attribute(self, node: onnx.NodeProto, attribute: onnx.AttributeProto) -> None:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16
        if attribute.HasField("t") and attribute.t.data_type == TensorProto.FLOAT:
            attribute.t.CopyFrom(_half_tensor(attribute.t, attribute.t.name))

    def _half(self, name: str) -> str:
        """Return the name of a tensor in FP16, which is added where it is missing."""
        if name not in self._as_half:
            self._as_half[name] = f"{name}/fp16"
            if name in self._weights:
                tensor = _half_tensor(self._weights[name], self._as_half[name])
                self._model.graph.initializer.append(tensor)
            else:
                self._cast(name, self._as_half[name], TensorProto.FLOAT16)
        return self._as_half[name]

    def _keep_positive(self, name: str) -> None:
        """Let no scale of quantization, in FP16, be 0."""
        for tensor in self._model.graph.initializer:
            if tensor.name == name:
                scale = np.maximum(numpy_helper.to_array(tensor), _SMALLEST)
                tensor.CopyFrom(numpy_helper.from_array(scale, name))

    def _float(self, name: str) -> str:
        """Return the name of a tensor in FP32, which is added where it is missing."""
        if name in self._only_half:
            self._only_half.remove(name)
            self._cast(self._as_half[name], name, TensorProto.FLOAT)
        return name

    def _cast(self, source: str, target: str, to: int) -> None:
        self._nodes.append(helper.make_node("Cast", [source], [target], to=to))

    def _drop_unused_weights(self) -> None:
        used = {name for node in self._nodes for name in node.input}
        weights = [tensor for tensor in self._model.graph.initializer if tensor.name in used]
        del self._model.graph.initializer[:]
        self._model.graph.initializer.extend(weights)


def _element_types(model: onnx.ModelProto) -> dict[str, int]:
    graph = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    types = {
        tensor.name: tensor.type.tensor_type.elem_type
        for tensor in [*graph.input, *graph.value_info, *graph.output]
    }
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def _half_tensor(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    values = numpy_helper.to_array(tensor)
    # Single numbers are limits of Clip and fillings of Pad, often "the smallest there is".
    if values.size > 1 and not float(np.abs(values).max()) <= _GREATEST:
        raise ConversionError(
            f"weight {tensor.name!r} has values beyond {_GREATEST:g}, the greatest in FP16: build "
            "this model with precision fp32"
        )
    limited = np.clip(values, -_GREATEST, _GREATEST)
    return numpy_helper.from_array(limited.astype(np.float16), name)
