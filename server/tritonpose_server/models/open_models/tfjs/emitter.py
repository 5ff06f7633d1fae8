"""Emits the part of a TensorFlow.js graph that given tensors depend on, as ONNX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from graphlib import TopologicalSorter

from tritonpose_server.models.open_models.tfjs import convolution, ops
from tritonpose_server.models.open_models.tfjs.graph_builder import GraphBuilder, Value
from tritonpose_server.models.open_models.tfjs.graph_model import (
    GraphModel,
    Node,
    split_tensor_name,
)

_Emission = Callable[[GraphBuilder, Node, Sequence[ops.Operand]], list[Value]]

_EMISSIONS: dict[str, _Emission] = {
    "Add": ops.emit_add,
    "AddV2": ops.emit_add,
    "ConcatV2": ops.emit_concat,
    "Conv2D": convolution.emit_convolution,
    "DepthwiseConv2dNative": convolution.emit_convolution,
    "FusedDepthwiseConv2dNative": convolution.emit_convolution,
    "LeakyRelu": ops.emit_leaky_relu,
    "MaxPool": convolution.emit_max_pool,
    "Pad": ops.emit_pad,
    "PadV2": ops.emit_pad,
    "ResizeBilinear": ops.emit_resize,
    "SplitV": ops.emit_split,
    "Transpose": ops.emit_transpose,
    "_FusedConv2D": convolution.emit_convolution,
}


class Emitter:
    """Translates tensors of one graph model, each node at most once.

    NHWC feature maps are stored NCHW, ONNX's own order, so transposes between the two vanish.
    """

    def __init__(self, model: GraphModel, graph: GraphBuilder) -> None:
        self._model = model
        self._graph = graph
        self._outputs: dict[str, list[Value]] = {}

    def feed(self, node: str, value: Value) -> None:
        """Let a tensor stand for a node's output; what the node depends on is not emitted."""
        self._outputs[self._model.node(node).name] = [value]

    def emit(self, tensor: str) -> Value:
        """Emit a tensor, named ``node`` or ``node:k`` for output k, and what it depends on.

        An operation or a setting that is not known is an `UnsupportedOpError`.
        """
        name, index = split_tensor_name(tensor)
        for node in self._pending(name):
            self._outputs[node.name] = self._emit_node(node)
        return self._outputs[name][index]

    def _pending(self, name: str) -> list[Node]:
        """Return the nodes still to be emitted for a node, in an order that works."""
        dependencies: dict[str, list[str]] = {}
        waiting = [name]
        while waiting:
            current = waiting.pop()
            if current in dependencies or current in self._outputs:
                continue
            inputs = [split_tensor_name(tensor)[0] for tensor in self._model.node(current).inputs]
            dependencies[current] = [
                node
                for node in inputs
                if node not in self._model.weights and node not in self._outputs
            ]
            waiting.extend(dependencies[current])
        return [self._model.node(node) for node in TopologicalSorter(dependencies).static_order()]

    def _emit_node(self, node: Node) -> list[Value]:
        emission = _EMISSIONS.get(node.op)
        if emission is None:
            raise ops.unsupported(node, "this operation is not known")
        return emission(self._graph, node, [self._operand(tensor) for tensor in node.inputs])

    def _operand(self, tensor: str) -> ops.Operand:
        name, index = split_tensor_name(tensor)
        weight = self._model.weights.get(name)
        return self._outputs[name][index] if weight is None else weight
