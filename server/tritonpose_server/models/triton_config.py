"""The Triton configurations of a model: ``config.pbtxt``, and those for GPUs in ``configs``.

``--model-config-name`` picks one of ``configs``. All say the same of tensors and parameters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tritonpose_pipeline.keypoint_schema import KeypointSchema
from tritonpose_pipeline.repository import NmsSettings
from tritonpose_server.models.errors import ConversionError

if TYPE_CHECKING:
    import onnx

ONNXRUNTIME = "onnxruntime"
TENSORRT = "tensorrt"
PLAN_FILE = "model.plan"

MAX_BATCH_SIZE = 32
"""Of models that take batches of any size."""

# ONNX Runtime asks cuDNN for an algorithm once per batch size; by its default, exhaustive search,
# that takes half a second each. Triton ignores the setting among `execution_accelerators`.
_CUDNN_HEURISTIC = "1"

# While one batch computes, the next one is copied in.
_ENGINE_INSTANCES = 2


def detector_parameters(
    *,
    interpolation: str,
    keep_ratio: bool,
    pad_value: tuple[int, int, int],
    threshold: float,
    nms: NmsSettings,
    labels: Sequence[str] = (),
    classes: Sequence[int] = (0,),
) -> dict[str, str]:
    """Render what the pipeline must know of a detector.

    ``interpolation`` is OpenCV's name in lower case, ``pad_value`` R, G, B in 0..255, ``threshold``
    the score where nobody names one; ``labels`` are of all classes, ``classes`` the ids of
    the ones that count, in the order of the output ``scores``.
    """
    told = {"labels": json.dumps(list(labels), ensure_ascii=False)} if labels else {}
    return {
        **told,
        "classes": ",".join(map(str, classes)),
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


def keypoint_parameters(
    *, flip_shift: bool, use_udp: bool, schema: KeypointSchema | None = None
) -> dict[str, str]:
    """Render what the pipeline must know of a keypoint model.

    ``flip_shift``: mirrored heatmaps are shifted by one pixel when averaged; ``use_udp``: it was
    trained with unbiased data processing; ``schema``: its keypoints, None for what the pipeline
    assumes, COCO's if there are 17.
    """
    told = {} if schema is None else {"keypoint_schema": schema.to_json()}
    flags = {"flip_shift": _flag(flip_shift), "use_udp": _flag(use_udp)}
    return {"role": "keypoint", **flags, **told}


def make_config(
    name: str,
    model: onnx.ModelProto,
    parameters: Mapping[str, str],
    *,
    max_batch_size: int,
) -> pb.ModelConfig:
    """Make the configuration of a model from uint8 ``[batch, h, w, 3]`` to float32 outputs."""
    config = pb.ModelConfig(name=name, backend="openvino", max_batch_size=max_batch_size)
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
    return config


def onnxruntime_config(config: pb.ModelConfig) -> pb.ModelConfig:
    """Make the configuration that serves ``model.onnx`` on every GPU with ONNX Runtime."""
    gpu = _for_gpus(config, ONNXRUNTIME, instances=1, max_batch_size=config.max_batch_size)
    gpu.parameters["cudnn_conv_algo_search"].string_value = _CUDNN_HEURISTIC
    if gpu.HasField("dynamic_batching"):
        # Batches of sizes that were warmed up, where there is a choice.
        gpu.dynamic_batching.preferred_batch_size.extend(batch_buckets(gpu.max_batch_size))
    return gpu


def tensorrt_config(
    config: pb.ModelConfig, max_batch_size: int, facts: Mapping[str, str]
) -> pb.ModelConfig:
    """Make the configuration that serves ``model.plan`` on every GPU with TensorRT.

    ``facts`` on how the plan was made are kept as ``parameters`` with the prefix ``engine_``. A
    plan for smaller batches than the pipeline sends at once is a `ConversionError`.
    """
    if max_batch_size < config.max_batch_size:
        raise ConversionError(
            f"model {config.name!r}: the engine's largest batch must be at least "
            f"{config.max_batch_size}, which is what the pipeline sends at once, it is "
            f"{max_batch_size}; to send less, lower max_batch_size in the model's config.pbtxt"
        )
    gpu = _for_gpus(config, TENSORRT, instances=_ENGINE_INSTANCES, max_batch_size=max_batch_size)
    gpu.default_model_filename = PLAN_FILE
    for key, value in facts.items():
        gpu.parameters[f"engine_{key}"].string_value = value
    return gpu


def batch_buckets(max_batch_size: int) -> list[int]:
    """Return the batch sizes that are warmed up: powers of two, and the largest."""
    powers = [1 << exponent for exponent in range(max_batch_size.bit_length())]
    return sorted({*powers, max_batch_size})


def config_text(config: pb.ModelConfig) -> str:
    """Render a configuration as protobuf text."""
    return text_format.MessageToString(config)


def for_backend(
    config: pb.ModelConfig, backend: str, kind: pb.ModelInstanceGroup.Kind, instances: int = 1
) -> pb.ModelConfig:
    """Copy a configuration for another backend; of GPUs, each one has ``instances``."""
    copy = deepcopy(config)
    copy.backend = backend
    del copy.instance_group[:]
    copy.instance_group.add(kind=kind, count=instances)
    return copy


def _for_gpus(
    config: pb.ModelConfig, backend: str, *, instances: int, max_batch_size: int
) -> pb.ModelConfig:
    """Copy a configuration for another backend, which has instances on every GPU."""
    gpu = for_backend(config, backend, pb.ModelInstanceGroup.KIND_GPU, instances)
    gpu.max_batch_size = max_batch_size
    for size in batch_buckets(max_batch_size):
        warmup = gpu.model_warmup.add(name=f"batch of {size}", batch_size=size)
        for tensor in gpu.input:
            warmup.inputs[tensor.name].CopyFrom(
                pb.ModelWarmup.Input(data_type=tensor.data_type, dims=tensor.dims, random_data=True)
            )
    return gpu


def _dims(tensor: onnx.ValueInfoProto) -> list[int]:
    """Sizes without the batch; -1 where the graph leaves a size open."""
    # It takes long to import, and reading a configuration needs none of it.
    from tritonpose_server.models.graph import onnx_graph

    return [size if isinstance(size, int) else -1 for size in onnx_graph.tensor_shape(tensor)[1:]]


def _flag(value: bool) -> str:
    return "true" if value else "false"
