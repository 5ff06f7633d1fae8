"""Runs a model's graph with PyTorch, for machines whose GPU only PyTorch can use.

Knows the operators that the project's models have once ``engine_graph`` has simplified them, and
refuses others by name. Meaning of the operators: https://onnx.ai/onnx/operators/, opset 19.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tritonpose_server.errors import EmbeddedServerError

Tensor = Any
Operator = Callable[[Any, Sequence[Any], Mapping[str, Any]], Any]


class TorchGraph:
    """A graph on a device of PyTorch."""

    def __init__(self, torch: Any, model: onnx.ModelProto, device: str) -> None:
        """Put a graph on a device.

        Args:
            torch: The module ``torch``.
            model: Made by ``engine_graph``.
            device: Such as ``cuda:0`` or ``cpu``.

        Raises:
            EmbeddedServerError: It has an operator that is not known here.
        """
        unknown = sorted({node.op_type for node in model.graph.node} - set(_OPERATORS))
        if unknown:
            raise EmbeddedServerError(
                f"PyTorch's runner does not know the operators {', '.join(unknown)}"
            )
        self._torch = torch
        self._device = device
        self._nodes = [
            (
                _OPERATORS[node.op_type],
                list(node.input),
                list(node.output),
                {item.name: helper.get_attribute_value(item) for item in node.attribute},
            )
            for node in model.graph.node
        ]
        self._outputs = [tensor.name for tensor in model.graph.output]
        # Sizes and indices of shapes stay on the CPU, where Python reads them without waiting.
        self._constants = {
            tensor.name: self._constant(numpy_helper.to_array(tensor))
            for tensor in model.graph.initializer
        }

    def run(self, images: np.ndarray[Any, np.dtype[np.uint8]]) -> list[Any]:
        """Run a batch.

        Args:
            images: uint8 ``[batch, h, w, 3]`` RGB.

        Returns:
            Outputs as numpy arrays, in the graph's order.
        """
        with self._torch.inference_mode():
            tensors: dict[str, Any] = {"": None, **self._constants}
            tensors["image"] = self._torch.from_numpy(images).to(self._device)
            for operator, inputs, outputs, attributes in self._nodes:
                result = operator(self._torch, [tensors[name] for name in inputs], attributes)
                results = result if isinstance(result, tuple) else (result,)
                tensors.update(zip(outputs, results, strict=True))
            return [tensors[name].cpu().numpy() for name in self._outputs]

    def _constant(self, array: np.ndarray[Any, np.dtype[Any]]) -> Tensor:
        tensor = self._torch.from_numpy(np.array(array))
        return tensor.to(self._device) if array.dtype.kind == "f" and array.ndim else tensor


def _cast(torch: Any, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Tensor:
    types = {
        TensorProto.FLOAT: torch.float32,
        TensorProto.FLOAT16: torch.float16,
        TensorProto.INT32: torch.int32,
        TensorProto.INT64: torch.int64,
    }
    return inputs[0].to(types[attributes["to"]])


def _conv(torch: Any, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Tensor:
    image, weight, *bias = inputs
    image, padding = _pad_image(torch, image, attributes.get("pads", [0, 0, 0, 0]), 0.0)
    return torch.nn.functional.conv2d(
        image,
        weight,
        bias[0] if bias else None,
        stride=attributes.get("strides", [1, 1]),
        padding=padding,
        dilation=attributes.get("dilations", [1, 1]),
        groups=attributes.get("group", 1),
    )


def _max_pool(torch: Any, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Tensor:
    lowest = torch.finfo(inputs[0].dtype).min
    image, padding = _pad_image(torch, inputs[0], attributes.get("pads", [0, 0, 0, 0]), lowest)
    return torch.nn.functional.max_pool2d(
        image, attributes["kernel_shape"], attributes.get("strides", [1, 1]), padding
    )


def _pad_image(
    torch: Any, image: Tensor, pads: Sequence[int], value: float
) -> tuple[Tensor, list[int]]:
    """Pad where the sides differ, else leave it to the operator; ``pads`` as ONNX has them."""
    top, left, bottom, right = pads
    if (top, left) == (bottom, right):
        return image, [top, left]
    return torch.nn.functional.pad(image, [left, right, top, bottom], value=value), [0, 0]


def _pad(torch: Any, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Tensor:
    if attributes.get("mode", b"constant") != b"constant":
        raise EmbeddedServerError("PyTorch's runner pads with a constant only")
    data, pads, value = [*inputs, None][:3]
    amounts = pads.tolist()
    rank = data.dim()
    # PyTorch counts dimensions from the last.
    pairs = [(amounts[axis], amounts[axis + rank]) for axis in reversed(range(rank))]
    flat = [amount for pair in pairs for amount in pair]
    return torch.nn.functional.pad(data, flat, value=0.0 if value is None else float(value))


def _resize(torch: Any, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Tensor:
    data, _, scales, sizes = [*inputs, None, None][:4]
    if sizes is not None:
        size = [int(side) for side in sizes.tolist()[2:]]
    else:
        factors = scales.tolist()[2:]
        size = [int(side * factor) for side, factor in zip(data.shape[2:], factors, strict=True)]
    interpolate = torch.nn.functional.interpolate
    mode, places = attributes.get("mode"), attributes.get("coordinate_transformation_mode")
    if (mode, places, attributes.get("nearest_mode")) == (b"nearest", b"asymmetric", b"floor"):
        return interpolate(data, size=size, mode="nearest")
    if mode == b"linear" and places in (b"half_pixel", b"align_corners"):
        corners = places == b"align_corners"
        return interpolate(data, size=size, mode="bilinear", align_corners=corners)
    raise EmbeddedServerError(f"PyTorch's runner does not know the Resize {mode!r}, {places!r}")


def _slice(torch: Any, inputs: Sequence[Any], _: Mapping[str, Any]) -> Tensor:
    data, starts, ends, axes, steps = [*inputs, None, None][:5]
    first, last = starts.tolist(), ends.tolist()
    dims = range(len(first)) if axes is None else axes.tolist()
    strides = [1] * len(first) if steps is None else steps.tolist()
    for axis, start, end, step in zip(dims, first, last, strides, strict=True):
        indices = torch.arange(data.shape[axis], device=data.device)[start:end:step]
        data = data.index_select(axis, indices)
    return data


def _gather(torch: Any, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Tensor:
    data, indices = inputs
    axis = attributes.get("axis", 0) % data.dim()
    indices = indices.to(data.device)
    taken = torch.index_select(data, axis, indices.reshape(-1))
    return taken.reshape([*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :]])


def _gather_nd(torch: Any, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Tensor:
    data, indices = inputs
    if attributes.get("batch_dims", 0) != 1:
        raise EmbeddedServerError("PyTorch's runner knows GatherND with one batch dimension only")
    indices = indices.to(data.device)
    batch = torch.arange(len(data), device=data.device)
    batch = batch.reshape([-1] + [1] * (indices.dim() - 2)).expand(indices.shape[:-1])
    return data[(batch, *indices.unbind(-1))]


def _arg_max(_: Any, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Tensor:
    keep = bool(attributes.get("keepdims", 1))
    return inputs[0].argmax(dim=attributes.get("axis", 0), keepdim=keep)


def _reduce_sum(_: Any, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Tensor:
    keep = bool(attributes.get("keepdims", 1))
    return inputs[0].sum(dim=inputs[1].tolist(), keepdim=keep)


def _reshape(_: Any, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Tensor:
    data, shape = inputs
    sizes = shape.tolist()
    if not attributes.get("allowzero", 0):
        sizes = [data.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return data.reshape(sizes)


def _split(torch: Any, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> tuple[Tensor, ...]:
    return tuple(torch.split(inputs[0], inputs[1].tolist(), dim=attributes.get("axis", 0)))


def _unsqueeze(_: Any, inputs: Sequence[Any], __: Mapping[str, Any]) -> Tensor:
    data, axes = inputs
    for axis in sorted(axes.tolist()):
        data = data.unsqueeze(axis)
    return data


def _clip(_: Any, inputs: Sequence[Any], __: Mapping[str, Any]) -> Tensor:
    data, low, high = [*inputs, None, None][:3]
    limits = [None if limit is None else float(limit) for limit in (low, high)]
    return data.clamp(*limits)


def _hard_sigmoid(_: Any, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Tensor:
    alpha, beta = attributes.get("alpha", 0.2), attributes.get("beta", 0.5)
    return (inputs[0] * alpha + beta).clamp(0, 1)


def _shape(torch: Any, inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Tensor:
    shape = torch.tensor(inputs[0].shape, dtype=torch.int64)
    return shape[attributes.get("start", 0) : attributes.get("end")]


_OPERATORS: dict[str, Operator] = {
    "Add": lambda _, x, __: x[0] + x[1],
    "ArgMax": _arg_max,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda torch, x, a: torch.cat(list(x), dim=a["axis"]),
    "Conv": _conv,
    "Div": lambda _, x, __: x[0] / x[1],
    "Gather": _gather,
    "GatherND": _gather_nd,
    "GlobalAveragePool": lambda _, x, __: x[0].mean(dim=(2, 3), keepdim=True),
    "HardSigmoid": _hard_sigmoid,
    "LeakyRelu": lambda torch, x, a: torch.nn.functional.leaky_relu(x[0], a.get("alpha", 0.01)),
    "MatMul": lambda _, x, __: x[0] @ x[1],
    "MaxPool": _max_pool,
    "Mul": lambda _, x, __: x[0] * x[1],
    "Pad": _pad,
    "ReduceSum": _reduce_sum,
    "Relu": lambda _, x, __: x[0].relu(),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape,
    "Sigmoid": lambda _, x, __: x[0].sigmoid(),
    "Slice": _slice,
    "Softmax": lambda _, x, a: x[0].softmax(dim=a.get("axis", -1)),
    "Split": _split,
    "Sqrt": lambda _, x, __: x[0].sqrt(),
    "Sub": lambda _, x, __: x[0] - x[1],
    "Transpose": lambda _, x, a: x[0].permute(*a["perm"]),
    "Unsqueeze": _unsqueeze,
}
