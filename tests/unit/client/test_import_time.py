"""Importing the client is cheap: the heavy libraries come with their first use."""

import subprocess
import sys

import pytest

HEAVY = ["aiohttp", "cv2", "grpc", "gevent", "PIL", "tritonclient"]


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import tritonpose", [*HEAVY, "numpy", "yaml"]),
        ("import tritonpose; tritonpose.__version__", [*HEAVY, "numpy", "yaml"]),
        ("from tritonpose.errors import TritonPoseError", [*HEAVY, "numpy", "yaml"]),
        ("from tritonpose.config import PipelineConfig", [*HEAVY, "numpy", "yaml"]),
        ("from tritonpose import create_pipeline, KeypointResult", HEAVY),
    ],
)
def test_import_leaves_out(statement: str, absent: list[str]) -> None:
    program = f"{statement}\nimport sys\nprint(*(set({absent}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
