"""Makes a keypoint model's ONNX graph servable: uint8 NHWC RGB in, heatmaps out, any batch."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import onnx

from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph import onnx_graph
from tritonpose_server.models.graph.model_graph import BATCH, finish_model
from tritonpose_server.models.graph.network_inputs import (
    FLOAT_TYPES,
    check_image_type,
    describe,
    network_inputs,
)
from tritonpose_server.models.paddle.inference_yml import InferenceYml

# Pixels per cell of a heatmap, as the pipeline maps cells back to the image.
_CELL = 4

# Of outputs that all could be heatmaps, the one with COCO's joints is meant.
_COCO_JOINTS = 17


def servable_keypoint_model(
    model: onnx.ModelProto, yml: InferenceYml, joints: int | None = None
) -> onnx.ModelProto:
    """Make a top-down heatmap model servable, or raise `ConversionError`.

    Its input is an image ``[B, 3, h, w]``, one of its outputs the heatmap ``[B, K, h/4, w/4]`` of
    any number K of joints. The result takes ``image`` uint8 ``[batch, h, w, 3]`` RGB and gives
    ``heatmap`` float32 ``[batch, K, h/4, w/4]``. Where several outputs could be the heatmap it is
    the one of ``joints`` keypoints, of 17 by default.
    """
    inputs = network_inputs(model, yml.height, yml.width)
    check_image_type(model, inputs, as_pixels=yml.normalization.is_identity)
    # Declared shapes may be open, or wrong after an edit: what comes out counts.
    shapes = onnx_graph.run_for_shapes(
        model, inputs.feed(np.zeros((1, 3, yml.height, yml.width), np.float32))
    )
    cells = (yml.height // _CELL, yml.width // _CELL)
    heatmaps = [
        tensor
        for tensor in model.graph.output
        if tensor.type.tensor_type.elem_type in FLOAT_TYPES
        and len(shapes[tensor.name]) == 4
        and shapes[tensor.name][2:] == cells
    ]
    if joints is not None or len(heatmaps) > 1:
        wanted = joints or _COCO_JOINTS
        heatmaps = [tensor for tensor in heatmaps if shapes[tensor.name][1] == wanted]
    if len(heatmaps) != 1:
        found = ", ".join(f"{list(shape)}" for shape in shapes.values())
        raise ConversionError(
            f"expected one output FLOAT [batch, {joints or 'K'}, {cells[0]}, {cells[1]}] (a "
            f"heatmap per keypoint, at a quarter of {yml.height}x{yml.width}), the model has "
            f"{describe(model.graph.output)}, and gives shapes {found}; where several fit, "
            "keypoints.yml beside the model says how many keypoints there are"
        )
    (heatmap,) = heatmaps
    network = deepcopy(model)
    head = onnx_graph.as_float(network, heatmap.name, heatmap.type.tensor_type.elem_type)
    network = onnx_graph.cut_at(network, {head: [BATCH, shapes[heatmap.name][1], *cells]})
    return finish_model(network, inputs, {head: "heatmap"}, yml)
