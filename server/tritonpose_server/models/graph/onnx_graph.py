"""Operations on ONNX graphs that know nothing of any model: loading, cutting, folding constants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from tritonpose_server.models.errors import ConversionError

Shape = Sequence[int | str | None]

# Results that are larger are left to the runtime: they would only swell the file.
_LARGEST_RESULT = 1 << 22


def load_model(path: Path) -> onnx.ModelProto:
    """Load an ONNX file; raise `ConversionError` if it is missing or no ONNX model."""
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except FileNotFoundError:
        raise ConversionError(f"{path} is missing") from None
    except Exception as error:  # protobuf's and the checker's errors have no common base
        raise ConversionError(f"{path} is not a valid ONNX model: {error}") from error
    return model


def constant(model: onnx.ModelProto, name: str) -> npt.NDArray[np.generic] | None:
    """Return the value of a tensor if it is an initializer or the output of a ``Constant`` node."""
    for initializer in model.graph.initializer:
        if initializer.name == name:
            return numpy_helper.to_array(initializer)
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output[0] == name:
            for attribute in node.attribute:
                if attribute.name == "value":
                    return numpy_helper.to_array(attribute.t)
    return None


def cut_at(model: onnx.ModelProto, tensors: Mapping[str, Shape]) -> onnx.ModelProto:
    """Return a model of only what computes the given float tensors, which become its outputs.

    Inputs that are not needed or have an initializer are left out. ``model`` is not changed.
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


def keep_one_opset(model: onnx.ModelProto) -> None:
    """Leave only ONNX's own operators among the imported ones, in place."""
    version = max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", version))


def tensor_shape(tensor: onnx.ValueInfoProto) -> list[int | str | None]:
    """Return the shape of a graph input or output: sizes, symbolic names, or None where unknown."""
    return [
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
        for dim in tensor.type.tensor_type.shape.dim
    ]


def inferred_shape(model: onnx.ModelProto, name: str) -> list[int | str | None]:
    """Return the shape of any tensor, by ONNX shape inference; empty where it is unknown."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    for tensor in [*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input]:
        if tensor.name == name:
            return tensor_shape(tensor)
    return []


def fold_constants(model: onnx.ModelProto) -> None:
    """Turn constant nodes into initializers and drop ``Identity`` nodes, in place.

    Nothing else is rewritten and no shape is taken for fixed, so the batch size stays free. Graphs
    with subgraphs are left as they are.
    """
    graph = model.graph
    if any(
        attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS)
        for node in graph.node
        for attribute in node.attribute
    ):
        return
    inputs = {tensor.name for tensor in graph.input}
    outputs = {tensor.name for tensor in graph.output}
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    # A graph input may override the initializer of its name.
    values = {
        name: numpy_helper.to_array(tensor)
        for name, tensor in initializers.items()
        if name not in inputs
    }
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    renamed: dict[str, str] = {}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        inner = outputs.isdisjoint(node.output)
        if inner and node.op_type == "Identity":
            renamed[node.output[0]] = node.input[0]
            continue
        if inner and not node.op_type.startswith("Random") and values.keys() >= _used([node]):
            results = ReferenceEvaluator(node, opsets=opsets).run(
                None, {name: values[name] for name in _used([node])}
            )
            arrays = [np.asarray(result) for result in results]
            size = sum(array.nbytes for array in arrays)
            if node.op_type == "Constant" or size <= _LARGEST_RESULT:
                for name, array in zip(node.output, arrays, strict=True):
                    values[name] = array
                    initializers[name] = numpy_helper.from_array(array, name)
                continue
        kept.append(node)
    used = _used(kept) | inputs | outputs
    del graph.node[:]
    graph.node.extend(kept)
    del graph.initializer[:]
    graph.initializer.extend(tensor for name, tensor in initializers.items() if name in used)


def _used(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """Return the names of the nodes' inputs; an input left out has the empty name."""
    return {name for node in nodes for name in node.input if name}
