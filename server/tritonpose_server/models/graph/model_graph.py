"""Completes a servable graph: preprocessing in front, any batch, final names."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph import onnx_graph
from tritonpose_server.models.graph.network_inputs import NetworkInputs
from tritonpose_server.models.paddle.inference_yml import InferenceYml, Normalization

BATCH = "batch"
"""Name of the dimension that any number of images may have."""


def finish_model(
    network: onnx.ModelProto,
    inputs: NetworkInputs,
    outputs: dict[str, str],
    yml: InferenceYml,
) -> onnx.ModelProto:
    """Make an exported network take ``image`` uint8 ``[batch, h, w, 3]`` RGB, in any number.

    Its only input is the image, its outputs are float32; ``outputs`` has their final names. Size
    and normalization are those of ``yml``.
    """
    image = network.graph.input[0]
    image.type.tensor_type.shape.dim[2].dim_value = yml.height
    image.type.tensor_type.shape.dim[3].dim_value = yml.width
    if inputs.batch is not None and inputs.batch > 1:
        _free_batch(network, inputs.batch)
    return add_preprocessing(network, outputs, yml.normalization)


def add_preprocessing(
    network: onnx.ModelProto,
    outputs: dict[str, str],
    normalization: Normalization,
    *,
    bgr: bool = False,
) -> onnx.ModelProto:
    """Put preprocessing in front of a network and give inputs and outputs their final names.

    The network's input is ``[B, 3, h, w]``, in BGR order if ``bgr``, and ``normalization`` is in
    the same order; all its outputs are float32. ``outputs`` has the final name of each. The
    result's input is ``image`` uint8 ``[batch, h, w, 3]`` RGB.
    """
    image = network.graph.input[0]
    height, width = onnx_graph.tensor_shape(image)[2:]
    # Named here, for it misses the weights that subgraphs read.
    names = {tensor.name: f"network/{tensor.name}" for tensor in network.graph.initializer}
    prefixed = compose.add_prefix_graph(network.graph, "network/", name_map=names)
    network = helper.make_model(
        prefixed, opset_imports=list(network.opset_import), ir_version=network.ir_version
    )
    del network.graph.value_info[:]
    network.graph.input[0].type.tensor_type.shape.dim[0].dim_param = BATCH
    renames = {f"network/{name}": final for name, final in outputs.items()}
    for tensor in network.graph.output:
        network.graph.node.append(
            helper.make_node("Identity", [tensor.name], [renames[tensor.name]])
        )
        tensor.name = renames[tensor.name]
    front = _preprocessing(height, width, normalization, image.type.tensor_type.elem_type, bgr)
    front.ir_version = network.ir_version
    del front.opset_import[:]
    front.opset_import.extend(network.opset_import)
    try:
        model = compose.merge_models(
            front, network, io_map=[("preprocessed", f"network/{image.name}")], name="model"
        )
        # merge_models lists the opsets of both graphs, which are the same.
        del model.opset_import[:]
        model.opset_import.extend(network.opset_import)
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # protobuf's and the checker's errors have no common base
        raise ConversionError(f"the converted graph is not valid ONNX: {error}") from error
    return model


def _free_batch(network: onnx.ModelProto, batch: int) -> None:
    """Let reshapes that were written for one number of images take any, in place.

    Where this is wrong, comparing the model with its source shows it.
    """
    graph = network.graph
    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for name in shapes:
        value = onnx_graph.constant(network, name)
        if value is None or value.ndim != 1 or value.size == 0 or value[0] != batch:
            continue
        freed = value.copy()
        # Of the sizes one may follow from the others; 0 keeps what comes in.
        freed[0] = 0 if -1 in value[1:] else -1
        onnx_graph.set_constant(network, name, freed)


def _preprocessing(
    height: int | str | None,
    width: int | str | None,
    normalization: Normalization,
    element_type: int,
    bgr: bool,
) -> onnx.ModelProto:
    """Build the graph from uint8 ``[batch, h, w, 3]`` RGB to normalized ``[batch, 3, h, w]``."""
    std = np.array(normalization.std, np.float64)
    factor = (normalization.scale / std).astype(np.float32)
    offset = (-np.array(normalization.mean, np.float64) / std).astype(np.float32)
    nodes = [helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT)]
    initializers = [
        numpy_helper.from_array(factor, "factor"),
        numpy_helper.from_array(offset, "offset"),
    ]
    pixels = "pixels"
    if bgr:
        initializers.append(numpy_helper.from_array(np.array([2, 1, 0], np.int64), "bgr"))
        nodes.append(helper.make_node("Gather", [pixels, "bgr"], ["pixels_bgr"], axis=3))
        pixels = "pixels_bgr"
    nodes += [
        helper.make_node("Mul", [pixels, "factor"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["normalized"]),
        helper.make_node("Transpose", ["normalized"], ["preprocessed"], perm=[0, 3, 1, 2]),
    ]
    if element_type != TensorProto.FLOAT:
        nodes[-1].output[0] = "planes"
        nodes.append(helper.make_node("Cast", ["planes"], ["preprocessed"], to=element_type))
    shape = [BATCH, height, width, 3]
    graph = helper.make_graph(
        nodes,
        "preprocessing",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("preprocessed", element_type, [BATCH, 3, height, width])],
        initializers,
    )
    return helper.make_model(graph)
