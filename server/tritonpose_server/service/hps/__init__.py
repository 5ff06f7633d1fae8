"""PaddleX's high-stability serving: the contract in tensors, independent of Triton's API."""

from tritonpose_server.service.hps.handler import HpsHandler, MalformedTensorError, PipelineError
from tritonpose_server.service.hps.settings import HpsSettings

__all__ = ["HpsHandler", "HpsSettings", "MalformedTensorError", "PipelineError"]
