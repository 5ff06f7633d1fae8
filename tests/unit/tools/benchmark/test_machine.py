"""The use of the CPU and memory by contestants, with all their processes."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil

from contestants import GivenContestant
from tools.benchmark.contestants import Contestant
from tools.benchmark.machine import Watch, resident_bytes

# A parent that only waits, and its child that works until its input ends.
PARENT = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=sys.stdin).wait()
"""
CHILD = """
import select, sys
block = bytearray(b"x") * 50_000_000
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]: pass
"""


def let_work(contestant: Contestant) -> None:
    """Wait until the child has used the CPU for 0.2 s, however busy the machine is."""
    (child,) = psutil.Process(contestant.processes()[0]).children()
    begin = child.cpu_times().user
    while child.cpu_times().user < begin + 0.2:
        time.sleep(0.02)


def test_whole_trees_are_measured() -> None:
    command = [sys.executable, "-c", PARENT, CHILD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        busy, other = GivenContestant("busy", pids=[process.pid]), GivenContestant("other")
        watch = Watch([busy, other])
        _, seconds = watch.measured(busy, let_work)
        assert seconds >= 0.2
        before = watch.disturbance()["idle_contestants"]
        # Now it should be idle, and is not.
        watch.measured(other, lambda _: let_work(busy))
        assert watch.disturbance()["idle_contestants"] > before
        assert resident_bytes([process.pid]) > 50_000_000
        process.communicate()
