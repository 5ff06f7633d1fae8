"""Who uses the machine while something is measured."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from contestants import GivenContestant
from tools.benchmark.process_tree import process_tree, resident_bytes
from tools.benchmark.watch import Watch

# A parent that only waits, and its child that works until its input ends.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=sys.stdin)
print("ready", flush=True)
child.wait()
"""
BUSY = "import select, sys\nwhile not select.select([sys.stdin], [], [], 0)[0]: pass"
IDLE = "import sys\nblock = bytearray(50_000_000)\nsys.stdin.read()"


class ProcessContestant(GivenContestant):
    def __init__(self, key: str, child: str) -> None:
        super().__init__(key)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PARENT, child], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def processes(self) -> list[int]:
        return [self.process.pid]

    def close(self) -> None:
        self.process.communicate()


@pytest.fixture
def busy() -> Iterator[ProcessContestant]:
    contestant = ProcessContestant("busy", BUSY)
    yield contestant
    contestant.close()


@pytest.fixture
def idle() -> Iterator[ProcessContestant]:
    contestant = ProcessContestant("idle", IDLE)
    yield contestant
    contestant.close()


def test_work_is_seen_in_whole_trees(busy: ProcessContestant, idle: ProcessContestant) -> None:
    watch = Watch([busy, idle])
    with watch.during(busy) as window:
        time.sleep(0.5)
    assert window.wall >= 0.5
    assert window.measured > 0.05
    assert window.idle < window.measured / 2
    with watch.during(idle) as other:
        time.sleep(0.5)
    # Now the busy one should be idle, and is not.
    assert other.idle > 0.05
    assert watch.disturbance().idle_contestants > 0
    assert 0 <= watch.disturbance().foreign <= 1


def test_shared_processes_are_not_idle_ones(busy: ProcessContestant) -> None:
    """Two ways to one server: while one is measured, the server works for it."""
    twin = GivenContestant("twin")
    twin.processes = busy.processes  # type: ignore[method-assign]
    with Watch([busy, twin]).during(twin) as window:
        time.sleep(0.3)
    assert window.measured > 0.03
    assert window.idle == 0


def test_memory_of_a_tree(idle: ProcessContestant) -> None:
    root = idle.process.pid
    tree = process_tree([root])
    assert tree[0] == root
    assert len(tree) == 2
    deadline = time.monotonic() + 10
    while resident_bytes([root]) < 50_000_000 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert resident_bytes([root]) > 50_000_000


def test_processes_that_have_ended() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert process_tree([ended.pid]) == []
    assert resident_bytes([ended.pid]) == 0


def test_nothing_was_watched() -> None:
    assert Watch([]).disturbance().foreign == 0
