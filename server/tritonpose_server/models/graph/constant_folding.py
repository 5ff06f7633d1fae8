"""Computes at conversion what is the same in every run of a graph."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import AttributeProto, numpy_helper
from onnx.reference import ReferenceEvaluator

# Results that are larger are left to the runtime: they would only swell the file.
_LARGEST_RESULT = 1 << 22


def fold_constants(model: onnx.ModelProto) -> None:
    """Turn constant nodes into initializers and drop ``Identity`` nodes, in place.

    Nothing else is rewritten and no shape is taken for fixed, so the batch size stays free. Graphs
    with subgraphs are left as they are.

    Args:
        model: A valid model.
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
    """Names of the nodes' inputs; an input left out has the empty name."""
    return {name for node in nodes for name in node.input if name}
