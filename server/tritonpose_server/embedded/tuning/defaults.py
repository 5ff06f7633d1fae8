"""What is served where nobody tunes anything."""

from __future__ import annotations

from tritonpose_server.embedded.tuning.settings import ModelTuning, PipelineTuning, Tuning
from tritonpose_server.engines.cores import CORES_PER_STREAM, plan_cores


def default_tuning(cores: int) -> Tuning:
    """The rules for a machine.

    Args:
        cores: Cores that may be used, see ``available_cores``.

    Returns:
        What models with the backend openvino do by themselves on so many cores. Their largest
        batches are their own, and left out.
    """
    model = default_model(cores, "openvino")
    return Tuning(model, model, complete_pipeline(PipelineTuning(), cores))


def default_model(cores: int, backend: str) -> ModelTuning:
    """The rules for a model on the CPU.

    Args:
        cores: Cores that may be used.
        backend: Its Triton backend, ``openvino`` or ``onnxruntime``.
    """
    plan = plan_cores(None, None, cores_per_stream=CORES_PER_STREAM[backend], cores=cores)
    return ModelTuning(instances=1, streams=plan.streams, threads=plan.threads, queue_delay_us=0)


def complete_pipeline(chosen: PipelineTuning, cores: int) -> PipelineTuning:
    """Add the rules for what nobody chose.

    Args:
        chosen: What somebody did choose.
        cores: Cores that may be used.

    Returns:
        The same with all values.
    """
    from tritonpose_pipeline.limits import Limits, default_workers

    most = chosen.max_in_flight or max(Limits.max_in_flight, chosen.workers or 0)
    workers = chosen.workers or min(default_workers(cores), most)
    return PipelineTuning(workers=workers, threads=chosen.threads or cores, max_in_flight=most)
