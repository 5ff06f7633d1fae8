"""Small operations on ONNX graphs, free of any model's particulars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from tritonpose_server.models.errors import ConversionError

Shape = Sequence[int | str | None]


def load_model(path: Path) -> onnx.ModelProto:
    """Load an ONNX file.

    Raises:
        ConversionError: It is missing or no ONNX model.
    """
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except FileNotFoundError:
        raise ConversionError(f"{path} is missing") from None
    except Exception as error:  # protobuf's and the checker's errors have no common base
        raise ConversionError(f"{path} is not a valid ONNX model: {error}") from error
    return model


def constant(model: onnx.ModelProto, name: str) -> npt.NDArray[np.generic] | None:
    """Value of a tensor if it is an initializer or the output of a ``Constant`` node."""
    for initializer in model.graph.initializer:
        if initializer.name == name:
            return numpy_helper.to_array(initializer)
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output[0] == name:
            for attribute in node.attribute:
                if attribute.name == "value":
                    return numpy_helper.to_array(attribute.t)
    return None


def bind_inputs(model: onnx.ModelProto, values: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Replace graph inputs by constants, in place.

    Args:
        model: The model to change.
        values: Constant of each input to bind; names that are no inputs are an error.
    """
    inputs = {tensor.name: tensor for tensor in model.graph.input}
    for name, value in values.items():
        model.graph.input.remove(inputs[name])
        model.graph.initializer.append(numpy_helper.from_array(value, name))


def cut_at(model: onnx.ModelProto, tensors: Mapping[str, Shape]) -> onnx.ModelProto:
    """Keep only what computes the given float tensors and make them the outputs.

    Args:
        model: The model to cut; not changed.
        tensors: Name of each tensor that becomes an output, with its shape.

    Returns:
        A model with the same inputs as far as they are still needed.
    """
    producers = {output: node for node in model.graph.node for output in node.output}
    needed: set[str] = set()
    pending = list(tensors)
    while pending:
        name = pending.pop()
        if name in needed:
            continue
        needed.add(name)
        if name in producers:
            pending.extend(used for used in producers[name].input if used)
    weights = {tensor.name for tensor in model.graph.initializer}
    graph = helper.make_graph(
        [node for node in model.graph.node if needed.intersection(node.output)],
        model.graph.name,
        # Old exporters list weights among the inputs, too.
        [
            tensor
            for tensor in model.graph.input
            if tensor.name in needed and tensor.name not in weights
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
            for name, shape in tensors.items()
        ],
        [tensor for tensor in model.graph.initializer if tensor.name in needed],
    )
    return helper.make_model(
        graph, opset_imports=list(model.opset_import), ir_version=model.ir_version
    )


def tensor_shape(tensor: onnx.ValueInfoProto) -> list[int | str | None]:
    """Shape of a graph input or output: sizes, symbolic names, or None where unknown."""
    return [
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
        for dim in tensor.type.tensor_type.shape.dim
    ]


def inferred_shape(model: onnx.ModelProto, name: str) -> list[int | str | None]:
    """Shape of any tensor, by ONNX shape inference; empty where it can't be told."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    for tensor in [*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input]:
        if tensor.name == name:
            return tensor_shape(tensor)
    return []
