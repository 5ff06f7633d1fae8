"""Puts a tuning into the Triton configurations that a server runs with, and reads it from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tritonpose_server.embedded.model_view import CONFIG_FILE, read_config, write_model_view
from tritonpose_server.embedded.tuning.settings import ModelTuning, Tuning
from tritonpose_server.engines.cores import CORES_PER_STREAM, plan_cores
from tritonpose_server.errors import EmbeddedServerError

# Parameters of the backends.
_STREAMS = "NUM_STREAMS"
_THREADS = "INFERENCE_NUM_THREADS"
_THREADS_OF_BATCH = "intra_op_thread_count"


def tune_models(models: Sequence[Path], tuning: Tuning, target: Path) -> list[Path]:
    """Have models served with a tuning; they themselves stay as they are.

    Args:
        models: Model directories.
        tuning: What to change.
        target: Directory to make for those with changed configurations. All models that lie beside
            the given ones come there, too, as requests may name them.

    Returns:
        The directories to serve in place of the given ones, in the same order: the given ones
        where nothing is to change.

    Raises:
        EmbeddedServerError: Two of the given ones have the same name.
    """
    if tuning.detector == tuning.keypoint_model == ModelTuning():
        return list(models)
    for model in _with_neighbours(models):
        config = read_config(model)
        write_model_view(model, tune_model(config, role_tuning(config, tuning)), target)
    return [target / model.name for model in models]


def role_tuning(config: ModelConfig, tuning: Tuning) -> ModelTuning:
    """The part of a tuning that is for a model, by its role."""
    return tuning.detector if _parameter(config, "role") == "detector" else tuning.keypoint_model


def tune_model(config: ModelConfig, tuning: ModelTuning) -> ModelConfig:
    """Change a model's configuration.

    Args:
        config: The configuration that it has; not changed.
        tuning: What to change.

    Returns:
        A copy in which everything that is chosen is so.
    """
    tuned = ModelConfig()
    tuned.CopyFrom(config)
    if tuning.instances is not None:
        if not tuned.instance_group:
            tuned.instance_group.add(kind=ModelInstanceGroup.KIND_CPU)
        for group in tuned.instance_group:
            group.count = tuning.instances
    if tuning.streams is not None:
        tuned.parameters[_STREAMS].string_value = str(tuning.streams)
    if tuning.threads is not None:
        tuned.parameters[_THREADS].string_value = str(tuning.threads)
        # It would win.
        tuned.parameters.pop(_THREADS_OF_BATCH, None)
    if tuning.max_batch_size is not None:
        # Larger ones than its own may fail, or give wrong results: conversion has checked them.
        tuned.max_batch_size = min(tuning.max_batch_size, max(config.max_batch_size, 1))
    if tuned.max_batch_size == 1:
        tuned.ClearField("dynamic_batching")
    if tuning.queue_delay_us is not None and tuned.max_batch_size > 1:
        tuned.dynamic_batching.max_queue_delay_microseconds = tuning.queue_delay_us
    return tuned


def model_tuning(config: ModelConfig, cores: int) -> ModelTuning:
    """How a model is served by its own configuration.

    Args:
        config: The configuration.
        cores: Cores that may be used.

    Returns:
        All values that mean something: on GPUs threads don't, and streams are the backend's
        choice unless configured.
    """
    gpu = any(group.kind == ModelInstanceGroup.KIND_GPU for group in config.instance_group)
    streams, threads = _number(config, _STREAMS), None
    if not gpu:
        plan = plan_cores(
            streams,
            _number(config, _THREADS),
            cores_per_stream=CORES_PER_STREAM.get(config.backend, 1),
            cores=cores,
        )
        streams, threads = plan.streams, plan.threads
        of_batch = _number(config, _THREADS_OF_BATCH)
        if of_batch is not None and config.backend == "onnxruntime":
            threads = min(of_batch, cores) * streams
    batching = config.max_batch_size > 1
    return ModelTuning(
        instances=max((group.count for group in config.instance_group), default=0) or 1,
        streams=streams,
        threads=threads,
        max_batch_size=max(config.max_batch_size, 1),
        queue_delay_us=config.dynamic_batching.max_queue_delay_microseconds if batching else 0,
    )


def _with_neighbours(models: Iterable[Path]) -> Iterator[Path]:
    """Models, and those beside them whose configurations can be read; each name once."""
    given = [model.absolute() for model in dict.fromkeys(models)]
    beside = [
        path.parent
        for directory in dict.fromkeys(model.parent for model in given)
        for path in sorted(directory.glob(f"[!.]*/{CONFIG_FILE}"))
        if path.parent not in given and _is_model(path.parent)
    ]
    found = {model.name: model for model in [*reversed(beside), *given]}
    if len({model.name for model in given}) < len(given):
        raise EmbeddedServerError(
            f"two of the models to serve have one name: {', '.join(map(str, given))}"
        )
    yield from found.values()


def _is_model(directory: Path) -> bool:
    try:
        return _parameter(read_config(directory), "role") is not None
    except (OSError, UnicodeDecodeError, text_format.ParseError):
        return False


def _number(config: ModelConfig, key: str) -> int | None:
    text = _parameter(config, key) or ""
    return int(text) if text.isdecimal() else None


def _parameter(config: ModelConfig, key: str) -> str | None:
    # Asking for a parameter that is missing would add it.
    return config.parameters[key].string_value if key in config.parameters else None
