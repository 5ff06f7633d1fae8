"""Serves models with other configurations than those in their directories, which stay as they are.

A model that is to compute elsewhere than its configuration says, or with another tuning, is served
from a directory of its own, with the same model files and a changed configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tritonpose_pipeline.errors import ModelError
from tritonpose_pipeline.repository import CONFIG_FILE, read_config
from tritonpose_server.embedded.device import Device
from tritonpose_server.embedded.tuning import ModelTuning, Tuning
from tritonpose_server.errors import EmbeddedServerError

# Parameters of the backends.
_STREAMS = "NUM_STREAMS"
_THREADS = "INFERENCE_NUM_THREADS"
_THREADS_OF_BATCH = "intra_op_thread_count"
_BF16 = "HINT_BF16"


def stage_models(
    models: Sequence[Path], device: Device | None, tuning: Tuning, target: Path
) -> list[Path]:
    """Make models compute on a device (None: where their configurations say) and with a tuning.

    Returns the directories to serve in place of the given ones, in the same order: the given ones
    where nothing is to change. Changed models go to ``target``; on CPUs, so do the models that lie
    beside the given ones, as requests may name them. Raises EmbeddedServerError if a model can't
    compute there, its configuration can't be read, or two of the given ones have one name.
    """
    if device is None and tuning.detector == tuning.keypoint_model == ModelTuning():
        return list(models)
    given = [model.absolute() for model in dict.fromkeys(models)]
    if len({model.name for model in given}) < len(given):
        raise EmbeddedServerError(
            f"two of the models to serve have one name: {', '.join(map(str, given))}"
        )
    on_gpus = device is not None and device.gpus
    try:
        configs = {
            model: read_config(model / CONFIG_FILE)
            for model in (given if on_gpus else _with_neighbors(given))
        }
    except (ModelError, OSError) as error:
        raise EmbeddedServerError(str(error)) from error
    changed = {}
    for model, config in configs.items():
        placed = config if device is None else configure_model(config, device)
        detects = _parameter(config, "role") == "detector"
        changed[model] = tune_model(placed, tuning.detector if detects else tuning.keypoint_model)
    if changed == configs:
        return list(models)
    for model, config in changed.items():
        _write_view(model, config, target)
    return [target / model.name for model in models]


def configure_model(config: ModelConfig, device: Device) -> ModelConfig:
    """Copy a model's configuration for a device; EmbeddedServerError if it is made for CPUs.

    It has one instance on each of the GPUs, or its own number on the CPU, at least one. On GPUs the
    backend is ONNX Runtime, as OpenVINO does not compute on NVIDIA GPUs.
    """
    configured = deepcopy(config)
    kinds = {group.kind for group in config.instance_group}
    if not device.gpus and kinds == {ModelInstanceGroup.KIND_CPU}:
        return configured
    del configured.instance_group[:]
    if not device.gpus:
        configured.instance_group.add(kind=ModelInstanceGroup.KIND_CPU, count=1)
        return configured
    if (_parameter(config, _BF16) or "").upper() == "YES":
        raise EmbeddedServerError(
            f"model {config.name!r} is a bf16 variant, which is for CPUs: name the model that it "
            f"was made from, or use --device cpu instead of {device}"
        )
    configured.backend = "onnxruntime"
    configured.instance_group.add(kind=ModelInstanceGroup.KIND_GPU, count=1, gpus=list(device.gpus))
    return configured


def tune_model(config: ModelConfig, tuning: ModelTuning) -> ModelConfig:
    """Copy a model's configuration, with everything that the tuning sets."""
    tuned = deepcopy(config)
    if tuning.instances is not None:
        if not tuned.instance_group:
            tuned.instance_group.add(kind=ModelInstanceGroup.KIND_CPU)
        for group in tuned.instance_group:
            group.count = tuning.instances
    if tuning.streams is not None:
        tuned.parameters[_STREAMS].string_value = str(tuning.streams)
    if tuning.threads is not None:
        tuned.parameters[_THREADS].string_value = str(tuning.threads)
        # It would take precedence.
        tuned.parameters.pop(_THREADS_OF_BATCH, None)
    if tuning.max_batch_size is not None:
        # Larger batches than its own may fail or give wrong results: conversion checked none.
        tuned.max_batch_size = min(tuning.max_batch_size, max(config.max_batch_size, 1))
    if tuned.max_batch_size == 1:
        tuned.ClearField("dynamic_batching")
    if tuning.queue_delay_us is not None and tuned.max_batch_size > 1:
        tuned.dynamic_batching.max_queue_delay_microseconds = tuning.queue_delay_us
    return tuned


def _write_view(model: Path, config: ModelConfig, target: Path) -> None:
    """Make a directory, named like the model's, with its files and another configuration."""
    view = target / model.name
    view.mkdir(parents=True)
    for version in model.iterdir():
        if version.name.isdecimal():
            (view / version.name).symlink_to(version.absolute())
    (view / CONFIG_FILE).write_text(text_format.MessageToString(config), "utf-8")


def _with_neighbors(given: Sequence[Path]) -> list[Path]:
    """List the models, and those beside them whose configurations can be read; each name once."""
    beside = [
        path.parent
        for directory in dict.fromkeys(model.parent for model in given)
        for path in sorted(directory.glob(f"[!.]*/{CONFIG_FILE}"))
        if path.parent not in given and _is_model(path.parent)
    ]
    return list({model.name: model for model in [*reversed(beside), *given]}.values())


def _is_model(directory: Path) -> bool:
    try:
        return _parameter(read_config(directory / CONFIG_FILE), "role") is not None
    except (OSError, ModelError):
        return False


def _parameter(config: ModelConfig, key: str) -> str | None:
    # Reading a parameter that is missing would add it.
    return config.parameters[key].string_value if key in config.parameters else None
