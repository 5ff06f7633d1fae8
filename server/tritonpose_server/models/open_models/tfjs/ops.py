"""ONNX emission of the TensorFlow operations other than convolutions and pooling.

Each ``emit`` function here and in `convolution` takes the graph to add to, the TensorFlow node
and its operands, and returns the node's outputs. Semantics are those of TensorFlow's kernels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tritonpose_server.models.open_models.tfjs.graph_builder import GraphBuilder, Value
from tritonpose_server.models.open_models.tfjs.graph_model import Array, Node, UnsupportedOpError

Operand = Value | Array

_NHWC_TO_NCHW = (0, 3, 1, 2)
_NCHW_TO_NHWC = (0, 2, 3, 1)

_BINARY_OPS = {"Add": "Add", "AddV2": "Add", "Sub": "Sub", "Mul": "Mul"}


def unsupported(node: Node, reason: str) -> UnsupportedOpError:
    """Make the error for a node that can't be emitted."""
    return UnsupportedOpError(f"{node.op} node {node.name!r}: {reason}")


def as_computed(node: Node, operand: Operand) -> Value:
    """Return the operand, which must be computed by the graph."""
    if not isinstance(operand, Value):
        raise unsupported(node, "its data input is a constant")
    return operand


def as_constant(node: Node, operand: Operand) -> Array:
    """Return the operand, which must be constant."""
    if isinstance(operand, Value):
        raise unsupported(node, f"input {operand.name!r} would have to be a constant")
    return operand


def as_feature_map(node: Node, operand: Operand) -> Value:
    """Return the operand, which must be an NHWC feature map."""
    value = as_computed(node, operand)
    if not value.feature_map:
        raise unsupported(node, f"its input of shape {value.shape} is not an NHWC feature map")
    return value


def fixed(node: Node, size: int | None) -> int:
    """Return the size, which must not be the batch size."""
    if size is None:
        raise unsupported(node, "it works along the batch axis")
    return size


def activation(graph: GraphBuilder, node: Node, op: str, tensor: str) -> str:
    """Emit an activation that is an operation of its own or fused into another one."""
    if op in ("Relu", "Sigmoid"):
        return graph.add(op, [tensor])
    if op == "Relu6":
        return graph.add("Clip", [tensor, graph.float32(0.0), graph.float32(6.0)])
    raise unsupported(node, f"fused {op} is not known")


def emit_activation(graph: GraphBuilder, node: Node, operands: Sequence[Operand]) -> list[Value]:
    """Emit ``Relu``, ``Relu6`` or ``Sigmoid``."""
    x = as_computed(node, operands[0])
    return [Value(activation(graph, node, node.op, x.name), x.shape, x.feature_map)]


def emit_leaky_relu(graph: GraphBuilder, node: Node, operands: Sequence[Operand]) -> list[Value]:
    """Emit ``LeakyRelu``."""
    x = as_computed(node, operands[0])
    name = graph.add("LeakyRelu", [x.name], alpha=node.number("alpha", 0.2))
    return [Value(name, x.shape, x.feature_map)]


def emit_binary(graph: GraphBuilder, node: Node, operands: Sequence[Operand]) -> list[Value]:
    """Emit an elementwise operation of two tensors, with broadcasting."""
    values = [operand for operand in operands if isinstance(operand, Value)]
    if not values:
        raise unsupported(node, "both inputs are constants")
    is_map = values[0].feature_map
    if len(values) == 2 and (
        is_map != values[1].feature_map or len(values[0].shape) != len(values[1].shape)
    ):
        raise unsupported(node, "its inputs have different layouts")
    names, shapes = [], []
    for operand in operands:
        if isinstance(operand, Value):
            names.append(operand.name)
            shapes.append(operand.shape)
        else:
            names.append(graph.float32(_stored(node, operand) if is_map else operand))
            shapes.append(operand.shape)
    shape = _broadcast(node, shapes[0], shapes[1])
    return [Value(graph.add(_BINARY_OPS[node.op], names), shape, is_map)]


def emit_resize(graph: GraphBuilder, node: Node, operands: Sequence[Operand]) -> list[Value]:
    """Emit ``ResizeBilinear``, which does no antialiasing."""
    x = as_feature_map(node, operands[0])
    batch, height, width, channels = x.shape
    rows, columns = (int(size) for size in as_constant(node, operands[1]))
    if node.flag("align_corners"):
        mode = "align_corners"
    elif node.flag("half_pixel_centers"):
        mode = "half_pixel"
    else:
        mode = "asymmetric"
    # Scales, not sizes: sizes would have to name the batch size.
    factors = _scale(fixed(node, height), rows), _scale(fixed(node, width), columns)
    scales = graph.float32([1.0, 1.0, *factors])
    name = graph.add(
        "Resize", [x.name, "", scales], mode="linear", coordinate_transformation_mode=mode
    )
    return [Value(name, (batch, rows, columns, channels), feature_map=True)]


def emit_pad(graph: GraphBuilder, node: Node, operands: Sequence[Operand]) -> list[Value]:
    """Emit ``Pad`` or ``PadV2``: constant padding, of zeros or of the third input."""
    x = as_computed(node, operands[0])
    paddings = as_constant(node, operands[1]).astype(np.int64)
    fill = float(as_constant(node, operands[2])) if node.op == "PadV2" else 0.0
    if not paddings.any():
        return [x]
    shape = tuple(
        _padded(node, size, int(begin + end))
        for size, (begin, end) in zip(x.shape, paddings, strict=True)
    )
    stored = paddings[list(_NHWC_TO_NCHW)] if x.feature_map else paddings
    pads = graph.int64(*(int(pad) for pad in stored.T.reshape(-1)))
    name = graph.add("Pad", [x.name, pads, graph.float32(fill)], mode="constant")
    return [Value(name, shape, x.feature_map)]


def emit_transpose(_graph: GraphBuilder, node: Node, operands: Sequence[Operand]) -> list[Value]:
    """Emit a ``Transpose`` between NHWC and NCHW, which changes nothing in what is stored."""
    x = as_computed(node, operands[0])
    order = tuple(int(axis) for axis in as_constant(node, operands[1]))
    if order != (_NHWC_TO_NCHW if x.feature_map else _NCHW_TO_NHWC):
        raise unsupported(node, f"order {order} is no change between NHWC and NCHW")
    return [Value(x.name, tuple(x.shape[axis] for axis in order), not x.feature_map)]


def emit_concat(graph: GraphBuilder, node: Node, operands: Sequence[Operand]) -> list[Value]:
    """Emit ``ConcatV2``."""
    parts = [as_computed(node, operand) for operand in operands[:-1]]
    first = parts[0]
    if any(part.feature_map != first.feature_map for part in parts):
        raise unsupported(node, "its inputs have different layouts")
    axis = int(as_constant(node, operands[-1])) % len(first.shape)
    sizes = [part.shape[axis] for part in parts]
    shape = list(first.shape)
    shape[axis] = sum(fixed(node, size) for size in sizes)
    name = graph.add("Concat", [part.name for part in parts], axis=first.stored_axis(axis))
    return [Value(name, tuple(shape), first.feature_map)]


def emit_split(graph: GraphBuilder, node: Node, operands: Sequence[Operand]) -> list[Value]:
    """Emit ``SplitV``."""
    x = as_computed(node, operands[0])
    sizes = [int(size) for size in as_constant(node, operands[1])]
    axis = int(as_constant(node, operands[2])) % len(x.shape)
    if sum(sizes) != x.shape[axis] or min(sizes) < 0:
        raise unsupported(node, f"sizes {sizes} do not add up to axis {axis} of {x.shape}")
    names = graph.split(x.name, sizes, x.stored_axis(axis))
    return [
        Value(name, (*x.shape[:axis], size, *x.shape[axis + 1 :]), x.feature_map)
        for name, size in zip(names, sizes, strict=True)
    ]


def _stored(node: Node, array: Array) -> Array:
    """Arrange a constant to broadcast against a feature map stored NCHW."""
    if array.ndim > 4:
        raise unsupported(node, f"a constant of shape {array.shape} meets a feature map")
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


def _padded(node: Node, size: int | None, padding: int) -> int | None:
    return size if padding == 0 else fixed(node, size) + padding
