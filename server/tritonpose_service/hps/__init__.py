"""PaddleX's high-stability serving: the contract in tensors. Knows nothing of Triton's API."""

from tritonpose_service.hps.answering import Hps, InputError
from tritonpose_service.hps.failures import PipelineError
from tritonpose_service.hps.settings import HpsSettings

__all__ = ["Hps", "HpsSettings", "InputError", "PipelineError"]
