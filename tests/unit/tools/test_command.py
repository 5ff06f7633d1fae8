"""What the commands of the tools share."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tritonpose.cli.console import INTERRUPTED

PROGRAM = """
import asyncio, sys, time
from tools.command import run_command

def work():
    try:
        print("working", flush=True)
        {wait}
    finally:
        print("programs are ended", flush=True)

sys.exit(run_command(work))
"""


@pytest.mark.parametrize("wait", ["time.sleep(60)", "asyncio.run(asyncio.sleep(60))"])
def test_sigterm_ends_a_background_job_in_order(wait: str) -> None:
    """Shells let these ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        job = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(wait=wait)], stdout=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with job:
        assert job.stdout is not None
        assert job.stdout.readline() == "working\n"
        job.terminate()
        assert job.stdout.read() == "programs are ended\n"
    assert job.returncode == INTERRUPTED
