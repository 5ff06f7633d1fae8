"""The local engine needs nothing that only Linux, or only POSIX, has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# What Windows lacks, of what this project uses elsewhere; macOS lacks the affinity.
PROGRAM = """
import importlib.abc, os, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in ("fcntl", "pwd", "grp", "resource", "termios", "uvloop", "tritonserver"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
for name in ("fcntl", "pwd", "grp", "resource", "termios"):
    sys.modules.pop(name, None)
for name in ("getuid", "geteuid", "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "register_at_fork"):
    delattr(os, name)

import numpy as np
from pathlib import Path
from toy_models import install_toys
from tritonpose.config import PipelineConfig
from tritonpose.local import make_engine
from tritonpose.transport.messages import InferRequest
from tritonpose_server.local.engine import LocalEngine
from tritonpose_server.local.options import LocalOptions
from tritonpose_server.models.choice import choose_models

choice = install_toys(Path(sys.argv[1]))
engine = LocalEngine(PipelineConfig(), LocalOptions("openvino"), 60, lambda *_, **__: choice)
print(len(engine.infer(InferRequest(frame=np.zeros((64, 96, 3), np.uint8)), 1).boxes))
"""


def test_no_module_or_function_of_linux_alone(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "TRITONPOSE_HOME": str(tmp_path / "home"),
    }
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.stdout == "1\n", done.stderr
