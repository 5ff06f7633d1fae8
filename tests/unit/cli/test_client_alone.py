"""The command with the client alone: no server, no conversion, no progress bar."""

from __future__ import annotations

import subprocess
import sys

import pytest

EXTRAS = [
    *("tritonpose_server", "tritonpose_server.service", "tritonpose_server.models"),
    *("fastapi", "httpx", "onnx", "onnxruntime", "openvino", "tqdm", "uvicorn"),
]
PROGRAM = """
import sys
from tritonpose.cli import main
status = main(sys.argv[1:])
print(*sys.modules)
sys.exit(status)
"""


@pytest.mark.parametrize(
    ("line", "status", "absent"),
    [
        ("--help", 0, [*EXTRAS, "cv2", "grpc", "numpy", "yaml"]),
        ("--version", 0, [*EXTRAS, "cv2", "grpc", "numpy", "yaml"]),
        ("predict missing.jpg", 1, EXTRAS),
        ("predict missing.jpg --json --url grpc://127.0.0.1:9", 1, EXTRAS),
        ("config --save_path /dev/null/x", 1, [*EXTRAS, "cv2", "grpc", "numpy"]),
    ],
)
def test_what_is_left_alone(line: str, status: int, absent: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *line.split()], capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    loaded = done.stdout.splitlines()[-1].split()
    assert "tritonpose.cli" in loaded
    assert [name for name in absent if name in loaded] == []
