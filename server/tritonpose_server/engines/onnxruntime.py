"""ONNX Runtime on the CPU or an NVIDIA GPU.

It understands the parameter ``intra_op_thread_count`` of NVIDIA's C++ backend of this name (threads
of one batch). ``NUM_STREAMS`` is the number of batches that run at the same time,
``INFERENCE_NUM_THREADS`` the number of threads of all streams together, as for OpenVINO. An
instance of ``KIND_GPU`` computes on its GPU, any other on the CPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime

from tritonpose_pipeline.cores import available_cores
from tritonpose_server.engines.cores import CorePlan, plan_cores
from tritonpose_server.engines.engine import (
    Array,
    EngineConfig,
    EngineConfigError,
    TensorSignature,
    check_signature,
)

_NUMPY_TYPES = {
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
}

# On a GPU batches compute one after another; a second stream copies in the next one meanwhile.
_GPU_STREAMS = 2


class OnnxRuntimeModel:
    """A session, which several streams share (see ``LoadedModel``)."""

    def __init__(
        self, session: onnxruntime.InferenceSession, config: EngineConfig, streams: int
    ) -> None:
        """Use a session."""
        self.streams = streams
        self._session = session
        self._outputs = [tensor.name for tensor in config.outputs]

    def run(self, inputs: Mapping[str, Array]) -> Sequence[Array]:
        """Run a batch (see ``LoadedModel``)."""
        return list(self._session.run(self._outputs, dict(inputs)))


def load_onnxruntime(config: EngineConfig) -> OnnxRuntimeModel:
    """Load a model (see ``Engine``).

    Raises EngineConfigError if ONNX Runtime can't load it, or it is not as configured.
    """
    wanted = config.positive_integer("NUM_STREAMS")
    if config.gpu is None:
        plan = plan_cores(
            wanted,
            config.positive_integer("INFERENCE_NUM_THREADS"),
            cores_per_stream=2,
        )
    else:
        plan = CorePlan(streams=wanted or _GPU_STREAMS, threads=1)
    # All streams share the threads of a session, and each computes in a thread of its own, too.
    shared = max(plan.threads - plan.streams + 1, 1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = min(
        config.positive_integer("intra_op_thread_count") or shared, available_cores()
    )
    options.inter_op_num_threads = 1
    if config.gpu is not None:
        # Finds the libraries of CUDA and cuDNN that Python packages bring.
        onnxruntime.preload_dlls()
    try:
        session = onnxruntime.InferenceSession(
            str(config.path), options, providers=_providers(config.gpu)
        )
    except Exception as error:  # ONNX Runtime's errors have no public base class
        raise EngineConfigError(
            f"model {config.name!r}: ONNX Runtime can't load {config.path.name}: {error}"
        ) from error
    # Where a GPU can't be used, ONNX Runtime takes the CPU with no more than a warning.
    if config.gpu is not None and "CUDAExecutionProvider" not in session.get_providers():
        raise EngineConfigError(
            f"model {config.name!r}: ONNX Runtime can't compute on GPU {config.gpu}: it needs "
            "onnxruntime-gpu and the CUDA and cuDNN libraries of its version (`pip install "
            "'onnxruntime-gpu[cuda,cudnn]'`)"
        )
    check_signature(config, _signatures(session.get_inputs()), _signatures(session.get_outputs()))
    return OnnxRuntimeModel(session, config, plan.streams)


def _providers(gpu: int | None) -> list[str | tuple[str, dict[str, str]]]:
    """List ONNX Runtime's execution providers, the preferred one first."""
    if gpu is None:
        return ["CPUExecutionProvider"]
    cuda = {
        "device_id": str(gpu),
        # The exhaustive search, its default, takes most of a second for each new batch size.
        "cudnn_conv_algo_search": "HEURISTIC",
        # TF32, its default, has ten bits of mantissa: results are to be those of FP32.
        "use_tf32": "0",
    }
    return [("CUDAExecutionProvider", cuda), "CPUExecutionProvider"]


def _signatures(tensors: Sequence[Any]) -> dict[str, TensorSignature]:
    """Collect types and shapes of a session's inputs or outputs."""
    return {
        tensor.name: TensorSignature(
            dtype=_NUMPY_TYPES.get(tensor.type, np.object_),
            shape=tuple(size if isinstance(size, int) else None for size in tensor.shape),
        )
        for tensor in tensors
    }
