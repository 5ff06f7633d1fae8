"""ONNX emission of the TensorFlow operations other than convolutions and pooling.

Each ``emit`` function here and in `convolution` takes the graph to add to, the TensorFlow node
and its operands, and returns the node's outputs. Semantics are those of TensorFlow's kernels, as
far as the pinned graph models use them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tritonpose_server.models.open_models.tfjs.graph_builder import GraphBuilder, Value
from tritonpose_server.models.open_models.tfjs.graph_model import Array, Node, UnsupportedOpError

Operand = Value | Array

_NHWC_TO_NCHW = (0, 3, 1, 2)
_NCHW_TO_NHWC = (0, 2, 3, 1)


def unsupported(node: Node, reason: str) -> UnsupportedOpError:
    """Make the error for a node that can't be emitted."""
    return UnsupportedOpError(f"{node.op} node {node.name!r}: {reason}")


def as_constant(operand: Operand) -> Array:
    """Return an operand that must be constant."""
    if isinstance(operand, Value):
        raise UnsupportedOpError(f"input {operand.name!r} would have to be a constant")
    return operand


def as_feature_map(node: Node, operand: Operand) -> Value:
    """Return an operand that must be an NHWC feature map."""
    value = _computed(operand)
    if not value.feature_map:
        raise unsupported(node, f"its input of shape {value.shape} is not an NHWC feature map")
    return value


def fixed(size: int | None) -> int:
    """Return a size, which must not be the batch size."""
    if size is None:
        raise UnsupportedOpError("an operation works along the batch axis")
    return size


def activation(graph: GraphBuilder, node: Node, op: str, tensor: str) -> str:
    """Emit an activation that is fused into another operation."""
    if op == "Relu":
        return graph.add("Relu", [tensor])
    if op == "Relu6":
        return graph.add("Clip", [tensor, graph.float32(0.0), graph.float32(6.0)])
    raise unsupported(node, f"fused {op} is not known")


def emit_leaky_relu(graph: GraphBuilder, node: Node, operands: Sequence[Operand]) -> list[Value]:
    """Emit ``LeakyRelu``."""
    x = _computed(operands[0])
    name = graph.add("LeakyRelu", [x.name], alpha=node.number("alpha", 0.2))
    return [Value(name, x.shape, x.feature_map)]


def emit_add(graph: GraphBuilder, node: Node, operands: Sequence[Operand]) -> list[Value]:
    """Emit ``Add`` or ``AddV2``, with broadcasting."""
    values = [operand for operand in operands if isinstance(operand, Value)]
    is_map = values[0].feature_map
    if len(values) == 2 and (
        is_map != values[1].feature_map or len(values[0].shape) != len(values[1].shape)
    ):
        raise unsupported(node, "its inputs have different layouts")
    names = [
        operand.name
        if isinstance(operand, Value)
        else graph.float32(_stored(operand) if is_map else operand)
        for operand in operands
    ]
    shape = _broadcast(node, *(operand.shape for operand in operands))
    return [Value(graph.add("Add", names), shape, is_map)]


def emit_resize(graph: GraphBuilder, node: Node, operands: Sequence[Operand]) -> list[Value]:
    """Emit ``ResizeBilinear`` with half-pixel centers, which does no antialiasing."""
    x = as_feature_map(node, operands[0])
    batch, height, width, channels = x.shape
    rows, columns = (int(size) for size in as_constant(operands[1]))
    if not node.flag("half_pixel_centers"):
        raise unsupported(node, "it does not sample at half-pixel centers")
    # Scales, not sizes: sizes would have to name the batch size.
    factors = _scale(fixed(height), rows), _scale(fixed(width), columns)
    scales = graph.float32([1.0, 1.0, *factors])
    name = graph.add(
        "Resize", [x.name, "", scales], mode="linear", coordinate_transformation_mode="half_pixel"
    )
    return [Value(name, (batch, rows, columns, channels), feature_map=True)]


def emit_pad(graph: GraphBuilder, node: Node, operands: Sequence[Operand]) -> list[Value]:
    """Emit ``Pad`` or ``PadV2``: constant padding, of zeros or of the third input."""
    x = _computed(operands[0])
    paddings = as_constant(operands[1]).astype(np.int64)
    fill = float(as_constant(operands[2])) if node.op == "PadV2" else 0.0
    shape = tuple(
        fixed(size) + int(begin + end) if begin + end else size
        for size, (begin, end) in zip(x.shape, paddings, strict=True)
    )
    stored = paddings[list(_NHWC_TO_NCHW)] if x.feature_map else paddings
    pads = graph.int64(*(int(pad) for pad in stored.T.reshape(-1)))
    name = graph.add("Pad", [x.name, pads, graph.float32(fill)], mode="constant")
    return [Value(name, shape, x.feature_map)]


def emit_transpose(_graph: GraphBuilder, node: Node, operands: Sequence[Operand]) -> list[Value]:
    """Emit a ``Transpose`` between NHWC and NCHW, which changes nothing in what is stored."""
    x = _computed(operands[0])
    order = tuple(int(axis) for axis in as_constant(operands[1]))
    if order != (_NHWC_TO_NCHW if x.feature_map else _NCHW_TO_NHWC):
        raise unsupported(node, f"order {order} is no change between NHWC and NCHW")
    return [Value(x.name, tuple(x.shape[axis] for axis in order), not x.feature_map)]


def emit_concat(graph: GraphBuilder, _node: Node, operands: Sequence[Operand]) -> list[Value]:
    """Emit ``ConcatV2``."""
    parts = [_computed(operand) for operand in operands[:-1]]
    first = parts[0]
    axis = int(as_constant(operands[-1])) % len(first.shape)
    sizes = [part.shape[axis] for part in parts]
    shape = list(first.shape)
    shape[axis] = sum(fixed(size) for size in sizes)
    name = graph.add("Concat", [part.name for part in parts], axis=first.stored_axis(axis))
    return [Value(name, tuple(shape), first.feature_map)]


def emit_split(graph: GraphBuilder, _node: Node, operands: Sequence[Operand]) -> list[Value]:
    """Emit ``SplitV``."""
    x = _computed(operands[0])
    sizes = [int(size) for size in as_constant(operands[1])]
    axis = int(as_constant(operands[2])) % len(x.shape)
    names = graph.split(x.name, sizes, x.stored_axis(axis))
    return [
        Value(name, (*x.shape[:axis], size, *x.shape[axis + 1 :]), x.feature_map)
        for name, size in zip(names, sizes, strict=True)
    ]


def _computed(operand: Operand) -> Value:
    if not isinstance(operand, Value):
        raise UnsupportedOpError("a data input is a constant")
    return operand


def _stored(array: Array) -> Array:
    """Arrange a constant to broadcast against a feature map stored NCHW."""
    nhwc = array.reshape((1,) * (4 - array.ndim) + array.shape)
    return nhwc.transpose(_NHWC_TO_NCHW)


def _broadcast(
    node: Node, a: tuple[int | None, ...], b: tuple[int | None, ...]
) -> tuple[int | None, ...]:
    """Return the shape of an elementwise result; None, the batch size, meets only itself or 1."""
    rank = max(len(a), len(b))
    result: list[int | None] = []
    for x, y in zip((1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b, strict=True):
        if x != y and 1 not in (x, y):
            raise unsupported(node, f"shapes {a} and {b} do not broadcast")
        result.append(y if x == 1 else x)
    return tuple(result)


def _scale(size: int, target: int) -> float:
    """Return the float32 factor whose product, rounded down, is the target size."""
    scale = np.float32(target / size)
    while float(scale) * size < target:
        scale = np.nextafter(scale, np.float32(np.inf))
    return float(scale)
