"""The Python environment in which PaddleX runs to be compared with."""

from __future__ import annotations

from pathlib import Path

from tritonpose_server.models.paddle.tool_environment import ToolEnvironment

PADDLEX_ENVIRONMENT = ToolEnvironment(
    name="paddlex",
    purpose="the environment for PaddleX",
    requirements=Path(__file__).with_name("paddlex_requirements.txt"),
    imports=("paddle", "paddlex", "cv2", "fastapi", "uvicorn"),
    libraries=("libgomp1", "libgl1", "libglib2.0-0"),
    size="it downloads 500 MB and takes 1.7 GB",
    pythons="Python 3.10 to 3.12 on Linux x86_64",
    without_network="leave out --paddlex",
)
