"""Triton backend ``openvino``: serves ``model.onnx`` with OpenVINO on the CPU.

Stands in for NVIDIA's C++ backend of the same name where only the Python backend exists, and
understands the same parameters of ``config.pbtxt``: ``NUM_STREAMS``, ``INFERENCE_NUM_THREADS``
and ``HINT_BF16``. Other than that backend it computes in FP32 unless ``HINT_BF16`` is ``YES`` and
the CPU has bf16, and says which: OpenVINO by itself picks bf16 on CPUs that have it, which changes
results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import openvino

from tritonpose_server.leaves.backend import LeafModel
from tritonpose_server.leaves.bf16 import cpu_has_bf16
from tritonpose_server.leaves.config import LeafConfig, LeafConfigError
from tritonpose_server.leaves.cores import plan_cores
from tritonpose_server.leaves.engine import Array
from tritonpose_server.leaves.signature import TensorSignature, check_signature


class OpenVinoStream:
    """One of OpenVINO's streams."""

    def __init__(self, compiled: openvino.CompiledModel, config: LeafConfig) -> None:
        """Take a stream of a compiled model."""
        self._request = compiled.create_infer_request()
        self._outputs = [tensor.name for tensor in config.outputs]

    def load(self, parts: Mapping[str, Sequence[Array]]) -> None:
        """Copy the next batch in (see ``Stream``)."""
        for name, pieces in parts.items():
            tensor = self._request.get_tensor(name)
            tensor.shape = [sum(len(piece) for piece in pieces), *pieces[0].shape[1:]]
            np.concatenate(pieces, out=tensor.data)

    def run(self) -> Sequence[Array]:
        """Run the loaded batch (see ``Stream``)."""
        self._request.infer()
        return [self._request.get_tensor(name).data for name in self._outputs]


def load_openvino(config: LeafConfig) -> Sequence[OpenVinoStream]:
    """Compile a leaf (see ``Engine``).

    Raises:
        LeafConfigError: OpenVINO can't load it, or it is not what its configuration says.
    """
    plan = plan_cores(
        config.positive_integer("NUM_STREAMS"), config.positive_integer("INFERENCE_NUM_THREADS")
    )
    settings = {
        "NUM_STREAMS": plan.streams,
        "INFERENCE_NUM_THREADS": plan.threads,
        "INFERENCE_PRECISION_HINT": "bf16" if _computes_bf16(config) else "f32",
        # Several leaves share the cores: pinned threads would fight for the same ones.
        "ENABLE_CPU_PINNING": False,
    }
    try:
        compiled = openvino.Core().compile_model(config.path, "CPU", settings)
    except RuntimeError as error:
        raise LeafConfigError(
            f"model {config.name!r}: OpenVINO can't load {config.path.name}: {error}"
        ) from error
    check_signature(config, _signatures(compiled.inputs), _signatures(compiled.outputs))
    return [OpenVinoStream(compiled, config) for _ in range(plan.streams)]


class TritonPythonModel(LeafModel):
    """Entry point for Triton."""

    engine = staticmethod(load_openvino)

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the leaf and say what came of its wish for bf16 (see ``LeafModel``)."""
        super().initialize(args)
        if _computes_bf16(self._config):
            self._pb.Logger.log_info(f"model {self._config.name}: computes in bf16")
        elif self._config.flag("HINT_BF16"):
            self._pb.Logger.log_warn(
                f"model {self._config.name}: computes in FP32, for this CPU has no bf16"
            )


def _computes_bf16(config: LeafConfig) -> bool:
    return config.flag("HINT_BF16") and cpu_has_bf16()


def _signatures(ports: Sequence[Any]) -> dict[str, TensorSignature]:
    """Types and shapes of a compiled model's inputs or outputs, by each of their names."""
    return {
        name: TensorSignature(
            dtype=port.element_type.to_dtype(),
            shape=tuple(
                None if size.is_dynamic else size.get_length() for size in port.partial_shape
            ),
        )
        for port in ports
        for name in port.names
    }
