"""Makes a detector's ONNX graph servable: uint8 NHWC RGB in, boxes and scores out, any batch."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from tritonpose_pipeline.repository import NmsSettings
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph import onnx_graph
from tritonpose_server.models.graph.classes import counted_classes
from tritonpose_server.models.graph.model_graph import BATCH, finish_model
from tritonpose_server.models.graph.network_inputs import (
    FLOAT_TYPES,
    check_image_type,
    fix_constants,
    network_inputs,
)
from tritonpose_server.models.graph.raw_heads import RawHeads, find_raw_heads
from tritonpose_server.models.paddle.inference_yml import InferenceYml

_SUPPRESSIONS = ("NMS", "NonMax", "Suppression")


@dataclass(frozen=True)
class ServableDetector:
    """A detector without its non-maximum suppression.

    ``nms`` are the settings of that; ``classes`` the ids of the classes that count, one per row
    of ``scores``. ``raw`` are the outputs of a network that was exported without suppression.
    """

    model: onnx.ModelProto
    nms: NmsSettings
    classes: tuple[int, ...]
    raw: RawHeads | None = None


def servable_detector(model: onnx.ModelProto, yml: InferenceYml) -> ServableDetector:
    """Make a detector with or without ``NonMaxSuppression`` servable, or raise `ConversionError`.

    Its inputs are an image ``[B, 3, H, W]`` and perhaps ``scale_factor`` and ``im_shape``
    ``[B, 2]``. The result takes ``image`` uint8 ``[batch, H, W, 3]`` RGB and gives ``boxes``
    float32 ``[batch, A, 4]`` (x1, y1, x2, y2 in network pixels) and ``scores`` float32
    ``[batch, C, A]`` of the C classes that count, ``[batch, A]`` of one.
    """
    inputs = network_inputs(model, yml.height, yml.width)
    check_image_type(model, inputs, as_pixels=yml.normalization.is_identity)
    network = deepcopy(model)
    suppression = _suppression(model)
    raw = None
    if suppression is None:
        shapes = onnx_graph.run_for_shapes(
            model, inputs.feed(np.zeros((1, 3, yml.height, yml.width), np.float32))
        )
        sizes = [
            shapes[tensor.name] if tensor.type.tensor_type.elem_type in FLOAT_TYPES else ()
            for tensor in model.graph.output
        ]
        raw = find_raw_heads(sizes, len(yml.labels) or None)
        boxes, scores, scored = _split(network, raw, sizes)
        class_count: int | None = scored
        anchors: int | str | None = sizes[raw.boxes][1]
        nms = yml.nms
    else:
        nms = _nms_settings(model, suppression)
        boxes, scores = suppression.input[:2]
        shape = onnx_graph.inferred_shape(model, scores)
        class_count = shape[1] if len(shape) == 3 and isinstance(shape[1], int) else None
        shape = onnx_graph.inferred_shape(model, boxes)
        anchors = shape[1] if len(shape) == 3 else None
    classes = counted_classes(yml, class_count)
    # What has a value is no input after the cut.
    fix_constants(network, inputs)
    network = onnx_graph.cut_at(
        network, {boxes: [BATCH, anchors, 4], scores: [BATCH, None, anchors]}
    )
    counted = _take_classes(network, scores, classes, anchors)
    names = {boxes: "boxes", counted: "scores"}
    return ServableDetector(finish_model(network, inputs, names, yml), nms, classes, raw)


def _suppression(model: onnx.ModelProto) -> onnx.NodeProto | None:
    """Return the node that suppresses overlapping boxes, None where a detector has none."""
    found = [node for node in model.graph.node if node.op_type == "NonMaxSuppression"]
    others = sorted(
        {
            node.op_type
            for node in model.graph.node
            if node not in found and any(word in node.op_type for word in _SUPPRESSIONS)
        }
    )
    if len(found) > 1 or others:
        names = ", ".join([*others, *(["NonMaxSuppression"] * len(found))])
        raise ConversionError(
            f"expected one NonMaxSuppression node, the detector has {len(found)} (nodes: {names}): "
            "export it with PaddleDetection's MultiClassNMS, or without suppression"
        )
    if found and any(a.name == "center_point_box" and a.i for a in found[0].attribute):
        raise ConversionError(
            "the detector's boxes are a center and a size (center_point_box of its "
            "NonMaxSuppression): export it with corners, as PaddleDetection does"
        )
    return found[0] if found else None


def _split(
    network: onnx.ModelProto, raw: RawHeads, shapes: Sequence[tuple[int, ...]]
) -> tuple[str, str, int]:
    """Add nodes that make boxes ``[B, A, 4]`` and scores ``[B, C, A]``, both float32, in place.

    Returned are the names of both and the number of classes.
    """
    boxes, scores = (
        onnx_graph.as_float(network, tensor.name, tensor.type.tensor_type.elem_type)
        for tensor in (network.graph.output[raw.boxes], network.graph.output[raw.scores])
    )
    shape = shapes[raw.scores]
    class_count = shape[2] if raw.anchors_first else shape[1]
    if raw.together:
        class_count -= 4
        table = boxes
        boxes = _gather(network, table, "model/boxes", np.arange(4), axis=2)
        columns = np.arange(4, 4 + class_count)
        scores = _gather(network, table, "model/anchor_scores", columns, axis=2)
    if raw.anchors_first:
        network.graph.node.append(
            helper.make_node("Transpose", [scores], ["model/scores"], perm=[0, 2, 1])
        )
        scores = "model/scores"
    return boxes, scores, class_count


def _take_classes(
    network: onnx.ModelProto, scores: str, classes: tuple[int, ...], anchors: int | str | None
) -> str:
    """Replace the output of all scores by that of some classes, in place; return its name."""
    one = len(classes) == 1
    index = np.array(classes[0] if one else classes)
    counted = _gather(network, scores, "model/class_scores", index, axis=1)
    shape = [BATCH, anchors] if one else [BATCH, len(classes), anchors]
    del network.graph.output[1]
    network.graph.output.append(helper.make_tensor_value_info(counted, TensorProto.FLOAT, shape))
    return counted


def _gather(
    network: onnx.ModelProto, source: str, target: str, index: npt.NDArray[np.int64], axis: int
) -> str:
    """Add a node that takes parts of a tensor, in place, and return the name of the result."""
    indices = numpy_helper.from_array(index.astype(np.int64), f"{target}/index")
    network.graph.initializer.append(indices)
    network.graph.node.append(
        helper.make_node("Gather", [source, indices.name], [target], axis=axis)
    )
    return target


def _nms_settings(model: onnx.ModelProto, node: onnx.NodeProto) -> NmsSettings:
    """Read the settings of a ``NonMaxSuppression`` node and of the top-k that follows it."""
    values = [onnx_graph.constant(model, name) for name in node.input[2:]]
    if len(values) != 3 or any(value is None for value in values):
        raise ConversionError(
            "the limits and thresholds of the NonMaxSuppression node are not constants: export the "
            "detector with fixed ones, or without suppression"
        )
    top_k, iou_threshold, score_threshold = (
        value.reshape(-1)[0] for value in values if value is not None
    )
    return NmsSettings(
        score_threshold=float(score_threshold),
        iou_threshold=float(iou_threshold),
        top_k=int(top_k),
        keep_top_k=_keep_top_k(model, node),
    )


def _keep_top_k(model: onnx.ModelProto, suppression: onnx.NodeProto) -> int:
    """Return the constant bound of the top-k after the suppression."""
    producers = {output: node for node in model.graph.node for output in node.output}
    position = list(model.graph.node).index(suppression)
    for node in list(model.graph.node)[position:]:
        if node.op_type != "TopK":
            continue
        bounds = [node.input[1]]
        minimum = producers.get(node.input[1])
        if minimum is not None and minimum.op_type == "ReduceMin":
            bounds = list(producers[minimum.input[0]].input)
        for name in bounds:
            value = onnx_graph.constant(model, name)
            if value is not None and value.size == 1:
                return int(value.reshape(-1)[0])
    raise ConversionError(
        "found no constant limit of boxes kept after NonMaxSuppression (a TopK node): export the "
        "detector with PaddleDetection's MultiClassNMS, or without suppression"
    )
