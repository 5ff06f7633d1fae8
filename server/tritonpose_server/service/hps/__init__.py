"""PaddleX's high-stability serving: the contract in tensors. Knows nothing of Triton's API."""

from tritonpose_server.service.hps.answering import Hps, InputError
from tritonpose_server.service.hps.failures import PipelineError
from tritonpose_server.service.hps.settings import HpsSettings

__all__ = ["Hps", "HpsSettings", "InputError", "PipelineError"]
