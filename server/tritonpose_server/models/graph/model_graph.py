"""Makes a model's ONNX graph servable: uint8 NHWC RGB in, raw heads out, any batch."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from tritonpose_pipeline.repository import NmsSettings
from tritonpose_pipeline.thresholds import class_ids, describe_classes
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph import onnx_graph
from tritonpose_server.models.paddle.inference_yml import InferenceYml, Normalization

_PERSON_LABELS = ("pedestrian", "person", "human", "people")

_BATCH = "batch"

# PaddleX's models have those of COCO.
_COCO_JOINTS = 17

# Where a graph leaves their number open.
_MOST_CLASSES = 100_000


def servable_keypoint_model(
    model: onnx.ModelProto, yml: InferenceYml, joints: int | None = None
) -> onnx.ModelProto:
    """Make a top-down heatmap model servable, or raise `ConversionError`.

    Its input is float32 ``[B, 3, h, w]``, one of its outputs the heatmap, float32
    ``[B, K, h/4, w/4]``, of K keypoints. The result takes ``image`` uint8 ``[batch, h, w, 3]`` RGB
    and gives ``heatmap`` float32 ``[batch, K, h/4, w/4]``. Where several outputs could be the
    heatmap it is the one of ``joints`` keypoints, of 17 by default.
    """
    image = _image_input(model, yml)
    size = [yml.height // 4, yml.width // 4]
    heatmaps = {
        tensor.name: shape
        for tensor in model.graph.output
        if tensor.type.tensor_type.elem_type == TensorProto.FLOAT
        and len(shape := onnx_graph.tensor_shape(tensor)) == 4
        and isinstance(shape[1], int)
        and shape[2:] == size
    }
    if joints is not None or len(heatmaps) > 1:
        wanted = joints or _COCO_JOINTS
        heatmaps = {name: shape for name, shape in heatmaps.items() if shape[1] == wanted}
    if len(heatmaps) != 1:
        wanted_shape = f"[batch, {joints or 'K'}, {size[0]}, {size[1]}]"
        raise ConversionError(
            f"expected one output of shape {wanted_shape} (a heatmap per keypoint, float32), the "
            f"model has {_describe(model.graph.output)}; where several fit, keypoints.yml beside "
            "the model says how many keypoints there are"
        )
    ((name, shape),) = heatmaps.items()
    network = onnx_graph.cut_at(model, {name: [_BATCH, *shape[1:]]})
    _fix_size(network, yml)
    return finish_model(network, image, {name: "heatmap"}, yml.normalization)


def servable_detector(
    model: onnx.ModelProto, yml: InferenceYml
) -> tuple[onnx.ModelProto, NmsSettings, tuple[int, ...]]:
    """Make a detector that ends in ``NonMaxSuppression`` servable, or raise `ConversionError`.

    Its inputs are ``image`` float32 ``[B, 3, H, W]`` and perhaps ``scale_factor`` ``[B, 2]``. The
    result takes ``image`` uint8 ``[batch, H, W, 3]`` RGB and gives ``boxes`` float32
    ``[batch, A, 4]`` (x1, y1, x2, y2 in network pixels) and ``scores`` float32 ``[batch, A]`` of
    the class that counts, ``[batch, C, A]`` if several do; beside it are the settings of the
    suppression cut away, and the ids of those classes.
    """
    suppressions = [node for node in model.graph.node if node.op_type == "NonMaxSuppression"]
    if len(suppressions) != 1:
        raise ConversionError(
            f"expected one NonMaxSuppression node, the detector has {len(suppressions)}: export "
            "it with its NMS (PaddleDetection's default)"
        )
    settings = _nms_settings(model, suppressions[0])
    boxes, scores = suppressions[0].input[:2]
    image = _image_input(model, yml)
    class_count = onnx_graph.inferred_shape(model, scores)
    anchors = onnx_graph.inferred_shape(model, boxes)
    network = onnx.ModelProto()
    network.CopyFrom(model)
    if any(tensor.name == "scale_factor" for tensor in network.graph.input):
        # Factor 1 leaves the boxes in network pixels; what has a value is no input after the cut.
        network.graph.initializer.append(
            numpy_helper.from_array(np.ones((1, 2), np.float32), "scale_factor")
        )
    count = anchors[1] if len(anchors) == 3 else None
    network = onnx_graph.cut_at(network, {boxes: [_BATCH, count, 4], scores: [_BATCH, None, count]})
    _fix_size(network, yml)
    classes = counted_classes(yml, class_count[1] if len(class_count) == 3 else None)
    one = len(classes) == 1
    network.graph.initializer.append(
        numpy_helper.from_array(
            np.array(classes[0] if one else classes, np.int64), "model/person_class"
        )
    )
    network.graph.node.append(
        helper.make_node("Gather", [scores, "model/person_class"], ["model/person_scores"], axis=1)
    )
    del network.graph.output[1]
    shape = [_BATCH, count] if one else [_BATCH, len(classes), count]
    network.graph.output.append(
        helper.make_tensor_value_info("model/person_scores", TensorProto.FLOAT, shape)
    )
    names = {boxes: "boxes", "model/person_scores": "scores"}
    return finish_model(network, image, names, yml.normalization), settings, classes


def finish_model(
    network: onnx.ModelProto,
    image: str,
    outputs: dict[str, str],
    normalization: Normalization,
    *,
    bgr: bool = False,
) -> onnx.ModelProto:
    """Put preprocessing in front of a network and give inputs and outputs their final names.

    The network's input is float32 ``[B, 3, h, w]``, in BGR order if ``bgr``, and ``normalization``
    is in the same order; all its outputs are float32. ``image`` is the input's name, ``outputs``
    has the final name of each output. The result's input is ``image`` uint8 ``[batch, h, w, 3]``
    RGB.
    """
    height, width = onnx_graph.tensor_shape(network.graph.input[0])[2:]
    network = compose.add_prefix(network, "network/")
    del network.graph.value_info[:]
    network.graph.input[0].type.tensor_type.shape.dim[0].dim_param = _BATCH
    renames = {f"network/{name}": final for name, final in outputs.items()}
    for tensor in network.graph.output:
        network.graph.node.append(
            helper.make_node("Identity", [tensor.name], [renames[tensor.name]])
        )
        tensor.name = renames[tensor.name]
    front = _preprocessing(height, width, normalization, bgr)
    front.ir_version = network.ir_version
    del front.opset_import[:]
    front.opset_import.extend(network.opset_import)
    try:
        model = compose.merge_models(
            front, network, io_map=[("preprocessed", f"network/{image}")], name="model"
        )
        # merge_models lists the opsets of both graphs, which are the same.
        del model.opset_import[:]
        model.opset_import.extend(network.opset_import)
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # protobuf's and the checker's errors have no common base
        raise ConversionError(f"the converted graph is not valid ONNX: {error}") from error
    return model


def _preprocessing(
    height: int | str | None, width: int | str | None, normalization: Normalization, bgr: bool
) -> onnx.ModelProto:
    """Build the graph from uint8 ``[batch, h, w, 3]`` RGB to float32 ``[batch, 3, h, w]``."""
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
    shape = [_BATCH, height, width, 3]
    graph = helper.make_graph(
        nodes,
        "preprocessing",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
        [
            helper.make_tensor_value_info(
                "preprocessed", TensorProto.FLOAT, [_BATCH, 3, height, width]
            )
        ],
        initializers,
    )
    return helper.make_model(graph)


def _image_input(model: onnx.ModelProto, yml: InferenceYml) -> str:
    """Return the name of the image input, which must allow the size asked for."""
    inputs = {
        tensor.name: onnx_graph.tensor_shape(tensor)
        for tensor in model.graph.input
        if tensor.name not in {initializer.name for initializer in model.graph.initializer}
    }
    images = [name for name, shape in inputs.items() if len(shape) == 4]
    extra = set(inputs) - set(images) - {"scale_factor"}
    if len(images) != 1 or extra:
        raise ConversionError(
            "expected one image input [batch, 3, height, width] (and perhaps `scale_factor`), "
            f"the model has {_describe(model.graph.input)}"
        )
    size = inputs[images[0]][2:]
    if any(
        isinstance(side, int) and side != wanted
        for side, wanted in zip(size, (yml.height, yml.width), strict=True)
    ):
        raise ConversionError(
            f"the graph was exported for images of {size[0]}x{size[1]} (height x width) and can't "
            f"take {yml.height}x{yml.width}, which is asked for: export it for that size"
        )
    return images[0]


def _fix_size(network: onnx.ModelProto, yml: InferenceYml) -> None:
    """Give a network whose graph leaves it open the size of its images, in place."""
    (image,) = network.graph.input
    dims = image.type.tensor_type.shape.dim
    dims[2].dim_value, dims[3].dim_value = yml.height, yml.width


def counted_classes(yml: InferenceYml, class_count: int | str | None) -> tuple[int, ...]:
    """Return the ids of the classes that count: those asked for, else that of persons."""
    labels = yml.labels
    if isinstance(class_count, int) and labels and class_count != len(labels):
        raise ConversionError(
            f"the detector scores {class_count} classes, inference.yml lists {len(labels)} labels"
        )
    if yml.classes is not None:
        known = range(class_count if isinstance(class_count, int) else _MOST_CLASSES)
        return _ids(yml.classes, labels, known)
    if len(labels) <= 1 and class_count in (1, None):
        return (0,)
    for index, label in enumerate(labels):
        if label.lower() in _PERSON_LABELS:
            return (index,)
    raise ConversionError(
        f"none of the detector's labels is a person ({', '.join(_PERSON_LABELS)}): "
        f"{', '.join(labels) or 'label_list is missing'}. Say which of its classes count: "
        "`classes` under ObjectDetection in the pipeline file, or --classes of `tritonpose models "
        "install`, with labels or ids from 0"
    )


def _ids(wanted: Iterable[str], labels: tuple[str, ...], known: range) -> tuple[int, ...]:
    ids: set[int] = set()
    for key in wanted:
        found = class_ids(key, labels, known)
        if not found:
            has = describe_classes(labels, known) if labels else f"{len(known)}, without labels"
            raise ConversionError(f"the detector has no class {key!r}; its classes are {has}")
        ids.update(found)
    return tuple(sorted(ids))


def _nms_settings(model: onnx.ModelProto, node: onnx.NodeProto) -> NmsSettings:
    """Read the settings of a ``NonMaxSuppression`` node and of the top-k that follows it."""
    values = [onnx_graph.constant(model, name) for name in node.input[2:]]
    if len(values) != 3 or any(value is None for value in values):
        raise ConversionError(
            "the limits and thresholds of the NonMaxSuppression node are not constants"
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
    raise ConversionError("found no constant limit of boxes kept after NonMaxSuppression")


def _describe(tensors: Iterable[onnx.ValueInfoProto]) -> str:
    return ", ".join(
        f"{tensor.name} {onnx_graph.tensor_shape(tensor)}".replace("None", "?")
        for tensor in tensors
    )
