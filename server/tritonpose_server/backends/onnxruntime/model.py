"""Triton backend ``onnxruntime``: serves ``model.onnx`` with ONNX Runtime, on CPU or NVIDIA GPU.

Stands in for NVIDIA's C++ backend of the same name where only the Python backend exists; see
``tritonpose_server.engines.onnxruntime`` for its parameters.
"""

from __future__ import annotations

from tritonpose_server.backends.backend import BackendModel
from tritonpose_server.engines.onnxruntime import load_onnxruntime


class TritonPythonModel(BackendModel):
    """Entry point for Triton."""

    engine = staticmethod(load_onnxruntime)
