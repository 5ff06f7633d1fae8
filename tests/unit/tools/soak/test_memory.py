"""Memory that grows is told from memory that does not."""

from __future__ import annotations

import os
import random

import pytest

from tools.soak.memory import MemoryLog, has_grown, levels

MB = 1_000_000


def test_levels_leave_warming_up_out() -> None:
    assert levels([10, 90, 100, 100, 100, 100, 120, 120, 120]) == (100, 120)


@pytest.mark.parametrize(
    ("before", "after", "grown"),
    [
        (100, 100, False),
        (100, 110, False),
        (100, 112, True),
        (1000, 1030, False),
        (1000, 1050, True),
    ],
)
def test_growth(before: int, after: int, grown: bool) -> None:
    assert has_grown(before * MB, after * MB) == grown


def test_a_leak_shows_and_noise_does_not() -> None:
    rng = random.Random(0)
    noise = [200 * MB + rng.randrange(10 * MB) for _ in range(60)]
    assert not has_grown(*levels(noise))
    assert has_grown(*levels([size + index * MB for index, size in enumerate(noise)]))


def test_growth_is_told_once_processes_are_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter(range(100 * MB, 10_000 * MB, 20 * MB))
    monkeypatch.setattr("tools.soak.memory.resident_bytes", lambda _: {"hps": next(sizes)})
    log = MemoryLog()
    for _ in range(9):
        log.sample({})
    log.seconds = 179
    assert log.violations() == []
    log.seconds = 181
    assert log.violations() == ["memory of hps grew from 180 to 240 MB"]


def test_this_process() -> None:
    log = MemoryLog()
    for _ in range(6):
        log.sample({"me": os.getpid(), "gone": 2**22 + 1})
    log.seconds = 1000
    assert log.violations() == []
    assert list(log.figures()) == ["memory of me, MB", "memory of /dev/shm, MB"]
    assert float(log.figures()["memory of me, MB"].split()[0]) > 1
