"""Builds ONNX graphs node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tritonpose_server.models.open_models.tfjs.graph_model import Array

OPSET = 17
# What opset 17 came with; runtimes refuse a newer IR version than they know.
IR_VERSION = 8


@dataclass(frozen=True)
class Value:
    """A float32 tensor of the ONNX graph; its shape is TensorFlow's, with None for the batch size.

    A feature map is NHWC to TensorFlow and stored NCHW in ONNX, so that convolutions need no
    transposes. Other tensors are stored as TensorFlow sees them.
    """

    name: str
    shape: tuple[int | None, ...]
    feature_map: bool

    def stored_axis(self, axis: int) -> int:
        """Return the axis of the ONNX tensor for one of TensorFlow's, which may be negative."""
        axis %= len(self.shape)
        return (0, 2, 3, 1)[axis] if self.feature_map else axis


class GraphBuilder:
    """An ONNX graph in the making; tensors are known by their names."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._count = 0

    def float32(self, values: float | Sequence[float] | Array) -> str:
        """Add a constant float32 tensor."""
        return self._constant(np.asarray(values, np.float32))

    def int64(self, *values: int) -> str:
        """Add a constant int64 vector, as shapes, axes and indices need."""
        return self._constant(np.array(values, np.int64))

    def add(
        self,
        op: str,
        inputs: Sequence[str],
        output: str | None = None,
        **attributes: Any,
    ) -> str:
        """Add a node and return the name of its one output, made up where not given.

        An empty name in ``inputs`` leaves out an optional input.
        """
        name = output or self._unique(op)
        self._nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def split(self, tensor: str, sizes: Sequence[int], axis: int) -> list[str]:
        """Cut a tensor along an ONNX axis into pieces of the given sizes."""
        outputs = [self._unique("Split") for _ in sizes]
        self._nodes.append(
            helper.make_node("Split", [tensor, self.int64(*sizes)], outputs, axis=axis)
        )
        return outputs

    def model(
        self,
        name: str,
        inputs: Mapping[str, Sequence[int]],
        outputs: Mapping[str, Sequence[int]],
    ) -> onnx.ModelProto:
        """Close the graph and return the checked model, its shapes inferred.

        Inputs and outputs are float32, their shapes without the batch axis, which comes first and
        may have any size. An invalid graph raises onnx's errors.
        """
        graph = helper.make_graph(
            self._nodes,
            name,
            [_value_info(tensor, shape) for tensor, shape in inputs.items()],
            [_value_info(tensor, shape) for tensor, shape in outputs.items()],
            self._initializers,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="tritonpose",
        )
        onnx.checker.check_model(model, full_check=True)
        return model

    def _constant(self, array: Array) -> str:
        name = self._unique("constant")
        self._initializers.append(numpy_helper.from_array(array, name))
        return name

    def _unique(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"


def _value_info(name: str, shape: Sequence[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])
