"""The Python environment in which Paddle runs, apart from tritonpose's own.

PaddlePaddle is large, and paddle2onnx needs an old onnx: both live in a virtual environment in the
cache, which is made the first time a Paddle model is converted.
"""

from __future__ import annotations

from pathlib import Path

from tritonpose_server.models.paddle.tool_environment import ToolEnvironment
from tritonpose_server.models.store import Progress

__all__ = ["Progress", "ensure_environment", "find_environment"]

_ENVIRONMENT = ToolEnvironment(
    name="paddle2onnx",
    purpose="the environment for Paddle models",
    requirements=Path(__file__).with_name("requirements.txt"),
    imports=("paddle", "paddle2onnx"),
    libraries=("libgomp1",),
    size="it downloads 240 MB and takes 1 GB",
    pythons="Python 3.10 to 3.12 on Linux x86_64",
    without_network="convert on a machine that has one and copy the model",
)


def find_environment() -> Path | None:
    """The environment's Python, None where it was not made yet."""
    return _ENVIRONMENT.find()


def ensure_environment(progress: Progress) -> Path:
    """Make the environment unless it is there; see `ToolEnvironment.ensure`."""
    return _ENVIRONMENT.ensure(progress)
