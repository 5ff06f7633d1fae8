"""Triton backend ``openvino``: serves ``model.onnx`` with OpenVINO on the CPU.

Stands in for NVIDIA's C++ backend of the same name where only the Python backend exists; see
``tritonpose_server.engines.openvino`` for its parameters.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from tritonpose_server.backends.backend import BackendModel
from tritonpose_server.engines.compiled import CompiledModels
from tritonpose_server.engines.openvino import OpenVinoEngine


class TritonPythonModel(BackendModel):
    """Entry point for Triton."""

    engine = OpenVinoEngine(compiled=CompiledModels.from_environment(os.environ))

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the model, and log what became of its hint of bf16 (see ``BackendModel``)."""
        super().initialize(args)
        if self.engine.computes_bf16(self._config):
            self._pb.Logger.log_info(f"model {self._config.name}: computes in bf16")
        elif self._config.flag("HINT_BF16"):
            self._pb.Logger.log_warn(
                f"model {self._config.name}: computes in FP32, for this CPU has no bf16"
            )
