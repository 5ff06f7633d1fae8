"""Packages that are missing are named with the extra that brings them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tritonpose.extras import install_command


@pytest.mark.parametrize(
    ("module", "missing", "extra"),
    [
        ("tritonpose_server.service.rest.run", "uvicorn", "service"),
        ("tritonpose_server.service.rest.settings", "httpcore", "service"),
        ("tritonpose_server.service.hps.handler", "httpcore", "triton"),
    ],
)
def test_the_extra_is_named(module: str, missing: str, extra: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; import {module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        f"ModuleNotFoundError: {missing} is not installed: {install_command(extra)}"
    )
