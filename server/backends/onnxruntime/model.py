"""Triton backend ``onnxruntime``: serves ``model.onnx`` with ONNX Runtime on the CPU.

Stands in for NVIDIA's C++ backend of the same name where only the Python backend exists, and
understands its parameter ``intra_op_thread_count`` of ``config.pbtxt`` (threads of one batch).
``NUM_STREAMS`` is the number of batches that run at the same time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime

from tritonpose_server.leaves.backend import LeafModel
from tritonpose_server.leaves.config import LeafConfig, LeafConfigError
from tritonpose_server.leaves.cores import available_cores, plan_cores
from tritonpose_server.leaves.engine import Array
from tritonpose_server.leaves.signature import TensorSignature, check_signature

_NUMPY_TYPES = {
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
}


class OnnxRuntimeStream:
    """One user of a session that several streams share."""

    def __init__(self, session: onnxruntime.InferenceSession, config: LeafConfig) -> None:
        """Use a session."""
        self._session = session
        self._outputs = [tensor.name for tensor in config.outputs]
        self._feed: dict[str, Array] = {}

    def load(self, parts: Mapping[str, Sequence[Array]]) -> None:
        """Copy the next batch in (see ``Stream``)."""
        self._feed = {name: np.concatenate(pieces) for name, pieces in parts.items()}

    def run(self) -> Sequence[Array]:
        """Run the loaded batch (see ``Stream``)."""
        return list(self._session.run(self._outputs, self._feed))


def load_onnxruntime(config: LeafConfig) -> Sequence[OnnxRuntimeStream]:
    """Load a leaf (see ``Engine``).

    Raises:
        LeafConfigError: ONNX Runtime can't load it, or it is not what its configuration says.
    """
    plan = plan_cores(config.positive_integer("NUM_STREAMS"), None)
    per_batch = config.positive_integer("intra_op_thread_count") or plan.threads_per_stream
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = min(per_batch, available_cores())
    options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            str(config.path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's errors have no public base class
        raise LeafConfigError(
            f"model {config.name!r}: ONNX Runtime can't load {config.path.name}: {error}"
        ) from error
    check_signature(config, _signatures(session.get_inputs()), _signatures(session.get_outputs()))
    return [OnnxRuntimeStream(session, config) for _ in range(plan.streams)]


class TritonPythonModel(LeafModel):
    """Entry point for Triton."""

    engine = staticmethod(load_onnxruntime)


def _signatures(tensors: Sequence[Any]) -> dict[str, TensorSignature]:
    """Types and shapes of a session's inputs or outputs."""
    return {
        tensor.name: TensorSignature(
            dtype=_NUMPY_TYPES.get(tensor.type, np.object_),
            shape=tuple(size if isinstance(size, int) else None for size in tensor.shape),
        )
        for tensor in tensors
    }
