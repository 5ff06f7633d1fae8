"""The Triton configuration of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import onnx
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tritonpose_server.models.graph import onnx_graph
from tritonpose_server.models.nms import NmsSettings

Backend = Literal["openvino", "onnxruntime"]


def detector_parameters(
    *,
    interpolation: str,
    keep_ratio: bool,
    pad_value: tuple[int, int, int],
    threshold: float,
    nms: NmsSettings,
) -> dict[str, str]:
    """What the pipeline must know of a detector.

    Args:
        interpolation: Of the resize, by OpenCV's name in lower case.
        keep_ratio: Whether the resize keeps the aspect ratio.
        pad_value: R, G, B of the padding that this needs, 0..255.
        threshold: Score threshold where nobody names one.
        nms: Its non-maximum suppression.
    """
    return {
        "role": "detector",
        "interpolation": interpolation,
        "keep_ratio": _flag(keep_ratio),
        "pad_value": ",".join(map(str, pad_value)),
        "threshold": f"{threshold:.9g}",
        "nms_score_threshold": f"{nms.score_threshold:.9g}",
        "nms_iou_threshold": f"{nms.iou_threshold:.9g}",
        "nms_top_k": str(nms.top_k),
        "nms_keep_top_k": str(nms.keep_top_k),
    }


def keypoint_parameters(*, flip_shift: bool, use_udp: bool) -> dict[str, str]:
    """What the pipeline must know of a keypoint model.

    Args:
        flip_shift: Whether mirrored heatmaps are shifted by one pixel when averaged.
        use_udp: Whether it was trained with unbiased data processing.
    """
    return {"role": "keypoint", "flip_shift": _flag(flip_shift), "use_udp": _flag(use_udp)}


def render_config(
    name: str,
    model: onnx.ModelProto,
    parameters: Mapping[str, str],
    *,
    max_batch_size: int,
    backend: Backend = "openvino",
) -> str:
    """Write the ``config.pbtxt`` of a model.

    Args:
        name: Triton model name.
        model: The model: input ``image`` uint8 ``[batch, h, w, 3]``, float32 outputs.
        parameters: What the pipeline must know of it.
        max_batch_size: Largest batch the model takes.
        backend: Triton backend that runs ``model.onnx``.

    Returns:
        The configuration as protobuf text.
    """
    config = pb.ModelConfig(name=name, backend=backend, max_batch_size=max_batch_size)
    config.default_model_filename = "model.onnx"
    for tensor in model.graph.input:
        config.input.add(name=tensor.name, data_type=pb.TYPE_UINT8, dims=_dims(tensor))
    for tensor in model.graph.output:
        config.output.add(name=tensor.name, data_type=pb.TYPE_FP32, dims=_dims(tensor))
    config.instance_group.add(kind=pb.ModelInstanceGroup.KIND_CPU, count=1)
    if max_batch_size > 1:
        # No delay: requests that wait for a busy model are batched, none waits for company.
        config.dynamic_batching.SetInParent()
    for key, value in parameters.items():
        config.parameters[key].string_value = value
    return text_format.MessageToString(config)


def _dims(tensor: onnx.ValueInfoProto) -> list[int]:
    """Sizes without the batch; -1 where the graph leaves a size open."""
    return [size if isinstance(size, int) else -1 for size in onnx_graph.tensor_shape(tensor)[1:]]


def _flag(value: bool) -> str:
    return "true" if value else "false"
