"""ONNX emission of TensorFlow's convolutions and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tritonpose_server.models.open_models.tfjs.graph_builder import GraphBuilder, Value
from tritonpose_server.models.open_models.tfjs.graph_model import Array, Node
from tritonpose_server.models.open_models.tfjs.ops import (
    Operand,
    activation,
    as_constant,
    as_feature_map,
    fixed,
    unsupported,
)

_DEPTHWISE = ("DepthwiseConv2dNative", "FusedDepthwiseConv2dNative")


def emit_convolution(graph: GraphBuilder, node: Node, operands: Sequence[Operand]) -> list[Value]:
    """Emit a plain or depthwise 2-D convolution, with what is fused into it."""
    x = as_feature_map(node, operands[0])
    weights = as_constant(operands[1])
    height, width, channels, filters = weights.shape
    windows, size = _windows(node, x, (height, width))
    if node.op in _DEPTHWISE:
        # TensorFlow's outputs go channel by channel, each with all its multiplier's filters.
        weights = weights.transpose(2, 3, 0, 1).reshape(channels * filters, 1, height, width)
        group, outputs = channels, channels * filters
    else:
        weights = weights.transpose(3, 2, 0, 1)
        group, outputs = 1, filters
    bias, activations = _fused(node, operands)
    inputs = [x.name, graph.float32(weights)]
    if bias is not None:
        inputs.append(graph.float32(bias))
    name = graph.add("Conv", inputs, group=group, **windows)
    for op in activations:
        name = activation(graph, node, op, name)
    return [Value(name, (x.shape[0], *size, outputs), feature_map=True)]


def emit_max_pool(graph: GraphBuilder, node: Node, operands: Sequence[Operand]) -> list[Value]:
    """Emit ``MaxPool``; padding never wins, as in TensorFlow."""
    x = as_feature_map(node, operands[0])
    windows, size = _windows(node, x, _rows_columns(node, "ksize"))
    name = graph.add("MaxPool", [x.name], **windows)
    return [Value(name, (x.shape[0], *size, x.shape[3]), feature_map=True)]


def _fused(node: Node, operands: Sequence[Operand]) -> tuple[Array | None, tuple[str, ...]]:
    """Return bias and activations that are fused into a convolution."""
    ops = node.texts("fused_ops")
    return (as_constant(operands[2]), ops[1:]) if "BiasAdd" in ops else (None, ops)


def _windows(
    node: Node, x: Value, kernel: tuple[int, int]
) -> tuple[dict[str, Any], tuple[int, int]]:
    """Compute how windows slide: ONNX's attributes, and rows and columns of the output."""
    strides = _rows_columns(node, "strides")
    dilations = _rows_columns(node, "dilations")
    padding = node.text("padding", "VALID")
    rows, columns = (
        _axis(node, padding, fixed(x.shape[axis + 1]), kernel[axis], strides[axis], dilations[axis])
        for axis in (0, 1)
    )
    attributes = {
        "kernel_shape": kernel,
        "strides": strides,
        "dilations": dilations,
        "pads": (rows[1], columns[1], rows[2], columns[2]),
    }
    return attributes, (rows[0], columns[0])


def _axis(
    node: Node, padding: str, size: int, kernel: int, stride: int, dilation: int
) -> tuple[int, int, int]:
    """Compute the output size and the padding before and after, along one axis.

    ``SAME`` gives ceil(size / stride) outputs and puts the odd pixel of padding at the end.
    """
    extent = (kernel - 1) * dilation + 1
    if padding == "SAME":
        output = -(-size // stride)
        total = max((output - 1) * stride + extent - size, 0)
        return output, total // 2, total - total // 2
    if padding != "VALID":
        raise unsupported(node, f"padding {padding} is not known")
    return (size - extent) // stride + 1, 0, 0


def _rows_columns(node: Node, key: str) -> tuple[int, int]:
    """Return the two middle numbers of an NHWC list; ones where it is absent."""
    _, rows, columns, _ = node.integers(key) or (1, 1, 1, 1)
    return rows, columns
