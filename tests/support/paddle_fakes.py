"""Stand-ins for pip and for the environment in which Paddle runs, for tests."""

from __future__ import annotations

import sys
from pathlib import Path


def write_program(path: Path, body: str) -> Path:
    """Write an executable.

    Args:
        path: The file; its directory is made.
        body: Python statements that follow the imports.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"#!{sys.executable}\nimport os, subprocess, sys, time\nfrom pathlib import Path\n{body}\n"
    )
    path.chmod(0o755)
    return path


# What a fake pip does to make `import paddle, paddle2onnx` work where it installs.
INSTALLS = """
python = next(Path(a.partition("=")[2]) for a in sys.argv if a.startswith("--python="))
(packages,) = python.parent.parent.glob("lib/python*/site-packages")
for name in ("paddle", "paddle2onnx"):
    (packages / f"{name}.py").write_text("")
"""
