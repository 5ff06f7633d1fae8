"""Triton configurations of a model for GPUs, which ``--model-config-name`` picks.

They lie in the model's ``configs`` beside its ``config.pbtxt``, from which the pipeline reads what
it must know of the model: both say the same of tensors and parameters.
"""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tritonpose_server.models.errors import ConversionError

ONNXRUNTIME = "onnxruntime"
TENSORRT = "tensorrt"
PLAN_FILE = "model.plan"

# ONNX Runtime asks cuDNN for an algorithm once per batch size; by its default, exhaustive search,
# that takes half a second each. Triton ignores the setting among `execution_accelerators`.
_CUDNN_HEURISTIC = "1"

# While one batch computes, the next one is copied in.
_ENGINE_INSTANCES = 2


def batch_buckets(max_batch_size: int) -> list[int]:
    """Batch sizes that are warmed up: powers of two, and the largest.

    Args:
        max_batch_size: Largest batch, at least 1.
    """
    powers = [1 << exponent for exponent in range(max_batch_size.bit_length())]
    return sorted({*powers, max_batch_size})


def onnxruntime_config(config: str) -> str:
    """Make the configuration that serves ``model.onnx`` on every GPU with ONNX Runtime.

    Args:
        config: The model's ``config.pbtxt``.

    Returns:
        The configuration as protobuf text.
    """
    gpu = _for_gpus(config, backend=ONNXRUNTIME, instances=1)
    gpu.parameters["cudnn_conv_algo_search"].string_value = _CUDNN_HEURISTIC
    if gpu.HasField("dynamic_batching"):
        # Batches of sizes that were warmed up, where there is a choice.
        gpu.dynamic_batching.preferred_batch_size.extend(batch_buckets(gpu.max_batch_size))
    return text_format.MessageToString(gpu)


def tensorrt_config(config: str, max_batch_size: int, facts: Mapping[str, str]) -> str:
    """Make the configuration that serves ``model.plan`` on every GPU with TensorRT.

    Args:
        config: The model's ``config.pbtxt``.
        max_batch_size: Largest batch of the plan.
        facts: How the plan was made; kept as ``parameters`` with the prefix ``engine_``.

    Returns:
        The configuration as protobuf text.

    Raises:
        ConversionError: The plan's largest batch is smaller than the model's.
    """
    base = parse_config(config)
    check_max_batch_size(base, max_batch_size)
    base.max_batch_size = max_batch_size
    gpu = _for_gpus(
        text_format.MessageToString(base), backend=TENSORRT, instances=_ENGINE_INSTANCES
    )
    gpu.default_model_filename = PLAN_FILE
    for key, value in facts.items():
        gpu.parameters[f"engine_{key}"].string_value = value
    return text_format.MessageToString(gpu)


def check_max_batch_size(config: pb.ModelConfig, max_batch_size: int) -> None:
    """Check that an engine takes all that the pipeline sends to a model at once.

    Args:
        config: The model's configuration.
        max_batch_size: Largest batch of the engine.

    Raises:
        ConversionError: It does not.
    """
    if max_batch_size < config.max_batch_size:
        raise ConversionError(
            f"model {config.name!r}: the engine's largest batch must be at least "
            f"{config.max_batch_size}, which is what the pipeline sends at once, it is "
            f"{max_batch_size}; to send less, lower max_batch_size in the model's config.pbtxt"
        )


def parse_config(text: str) -> pb.ModelConfig:
    """Read a configuration."""
    return text_format.Parse(text, pb.ModelConfig())


def _for_gpus(text: str, *, backend: str, instances: int) -> pb.ModelConfig:
    config = parse_config(text)
    config.backend = backend
    del config.instance_group[:]
    # No numbers: an instance group of this kind has its instances on each GPU of the server.
    config.instance_group.add(kind=pb.ModelInstanceGroup.KIND_GPU, count=instances)
    for size in batch_buckets(config.max_batch_size):
        warmup = config.model_warmup.add(name=f"batch of {size}", batch_size=size)
        for tensor in config.input:
            warmup.inputs[tensor.name].CopyFrom(
                pb.ModelWarmup.Input(data_type=tensor.data_type, dims=tensor.dims, random_data=True)
            )
    return config
