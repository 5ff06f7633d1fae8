"""Other trackers, which are given the same people, and scores by trackeval."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tools.benchmark.worker import Worker
from tritonpose_server.models.paddle.tool_environment import ToolEnvironment

_ENVIRONMENT = ToolEnvironment(
    name="trackers",
    purpose="the environment for other trackers",
    requirements=Path(__file__).with_name("rivals_requirements.txt"),
    imports=("cv2", "trackers", "trackeval"),
    libraries=("libgl1", "libglib2.0-0"),
    size="it downloads 200 MB and takes 700 MB",
    bytes_needed=700 << 20,
    pythons="Python 3.11 to 3.12",
    without_network="leave the rivals out with --no_rivals",
)


def start_rivals(progress: Callable[[str], None]) -> Worker:
    """Start the process that runs the other trackers and trackeval; see `rival_trackers`."""
    python = _ENVIRONMENT.ensure(progress)
    file = Path(__file__).parent / "subprocesses" / "rival_trackers.py"
    return Worker("the environment for other trackers", [str(python), "-I"], file, [])
