"""Operations on ONNX graphs that know nothing of any model: loading, cutting, folding constants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph.external_data import load_external_data

if TYPE_CHECKING:
    import onnxruntime

Shape = Sequence[int | str | None]

Precision = Literal["fp32", "fp16", "int8"]

# Results that are larger are left to the runtime: they would only swell the file.
_LARGEST_RESULT = 1 << 22


def load_graph(path: Path) -> onnx.ModelProto:
    """Load an ONNX file, without the weights that lie beside it, or raise `ConversionError`."""
    try:
        return onnx.load(path, load_external_data=False)
    except FileNotFoundError:
        raise ConversionError(f"{path} is missing") from None
    except Exception as error:  # protobuf's errors have no common base
        raise ConversionError(f"{path} is not a valid ONNX model: {error}") from error


def load_model(path: Path) -> onnx.ModelProto:
    """Load an ONNX file; raise `ConversionError` if it is missing or no ONNX model."""
    model = load_graph(path)
    load_external_data(model, path.parent)
    try:
        _sort_nodes(model.graph)
        onnx.checker.check_model(model)
    except Exception as error:  # the checker's errors have no common base
        raise ConversionError(f"{path} is not a valid ONNX model: {error}") from error
    return model


def open_session(model: onnx.ModelProto, *, optimize: bool = True) -> onnxruntime.InferenceSession:
    """Make ONNX Runtime ready to run a model on the CPU, or raise `ConversionError`."""
    # Here, for it takes long: models that are installed are loaded only to see what they are.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's and protobuf's errors have no public base class
        opsets = ", ".join(f"{o.domain or 'ai.onnx'} {o.version}" for o in model.opset_import)
        raise ConversionError(
            f"ONNX Runtime {onnxruntime.__version__} can't run the model (IR version "
            f"{model.ir_version}, operators of {opsets}): {error}. Export it with opset 16, in "
            "float32 and with ONNX's own operators only"
        ) from error


def _sort_nodes(graph: onnx.GraphProto) -> None:
    """Put nodes after those whose results they use, in place: tools write them in any order."""
    producers = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    uses = [
        {producers[name] for name in _all_inputs(node) if name in producers} for node in graph.node
    ]
    if all(max(used, default=-1) < index for index, used in enumerate(uses)):
        return
    order = TopologicalSorter(dict(enumerate(uses))).static_order()
    nodes = [graph.node[index] for index in order]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _all_inputs(node: onnx.NodeProto) -> Iterator[str]:
    """Iterate over what a node and the graphs in it use."""
    yield from node.input
    for attribute in node.attribute:
        for graph in [attribute.g, *attribute.graphs]:
            for inner in graph.node:
                yield from _all_inputs(inner)


def precision(model: onnx.ModelProto) -> Precision:
    """Return the lowest precision that a model computes in."""
    types = {tensor.data_type for tensor in model.graph.initializer}
    operators = set()
    for node in model.graph.node:
        operators.add(node.op_type)
        types |= {a.i for a in node.attribute if node.op_type == "Cast" and a.name == "to"}
        types |= {a.t.data_type for a in node.attribute if node.op_type == "Constant"}
    if any("QuantizeLinear" in name or name.startswith("QLinear") for name in operators):
        return "int8"
    half = {TensorProto.FLOAT16, TensorProto.BFLOAT16}
    return "fp32" if types.isdisjoint(half) else "fp16"


def constant(model: onnx.ModelProto, name: str) -> npt.NDArray[np.generic] | None:
    """Return the value of a tensor if it is an initializer or the output of a ``Constant`` node."""
    tensor = _constant(model, name)
    return None if tensor is None else numpy_helper.to_array(tensor)


def set_constant(model: onnx.ModelProto, name: str, value: npt.NDArray[np.generic]) -> None:
    """Replace the value of a tensor that `constant` finds, in place."""
    if (tensor := _constant(model, name)) is not None:
        tensor.CopyFrom(numpy_helper.from_array(value, name))


def _constant(model: onnx.ModelProto, name: str) -> TensorProto | None:
    for initializer in model.graph.initializer:
        if initializer.name == name:
            return initializer
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output[0] == name:
            return next((a.t for a in node.attribute if a.name == "value"), None)
    return None


def as_float(model: onnx.ModelProto, name: str, element_type: int) -> str:
    """Return the name of a tensor as float32, for which a node may be added, in place."""
    if element_type == TensorProto.FLOAT:
        return name
    model.graph.node.append(
        helper.make_node("Cast", [name], [f"{name}/float32"], to=TensorProto.FLOAT)
    )
    return f"{name}/float32"


def run_for_shapes(
    model: onnx.ModelProto, feed: Mapping[str, npt.NDArray[np.generic]]
) -> dict[str, tuple[int, ...]]:
    """Run a model once and return the shapes of its outputs, or raise `ConversionError`."""
    session = open_session(model, optimize=False)
    try:
        outputs = session.run(None, dict(feed))
    except Exception as error:  # ONNX Runtime's errors have no public base class
        sizes = ", ".join(f"{name} {list(value.shape)}" for name, value in feed.items())
        raise ConversionError(f"the model can't be run with inputs {sizes}: {error}") from error
    names = [tensor.name for tensor in model.graph.output]
    return {name: np.shape(output) for name, output in zip(names, outputs, strict=True)}


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
            pending.extend(used for used in _all_inputs(producers[name]) if used)
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
    # Here, for it takes long, as ONNX Runtime does.
    from onnx.reference import ReferenceEvaluator

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
