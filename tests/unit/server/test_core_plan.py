"""How a model divides the machine's cores."""

from __future__ import annotations

import pytest

from tritonpose_server.engines import cores
from tritonpose_server.engines.cores import CorePlan, available_cores, plan_cores


@pytest.mark.parametrize("allowed", [{0}, {3, 5, 7}, set(range(16))])
def test_available_cores(monkeypatch: pytest.MonkeyPatch, allowed: set[int]) -> None:
    """Those this process may use, not those of the machine."""
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _pid: allowed)
    monkeypatch.setattr(cores.os, "cpu_count", lambda: 64)
    assert available_cores() == len(allowed)


@pytest.mark.parametrize(
    ("available", "streams", "threads", "plan", "per_stream"),
    [
        (1, None, None, CorePlan(1, 1), 1),
        (2, None, None, CorePlan(1, 2), 2),
        (3, None, None, CorePlan(1, 3), 3),
        (4, None, None, CorePlan(2, 4), 2),
        (6, None, None, CorePlan(3, 6), 2),
        (8, None, None, CorePlan(4, 8), 2),
        (64, None, None, CorePlan(4, 64), 16),
        (8, 1, None, CorePlan(1, 8), 8),
        (8, 3, None, CorePlan(3, 8), 2),
        (8, 20, None, CorePlan(8, 8), 1),
        (1, 4, None, CorePlan(1, 1), 1),
        (8, None, 4, CorePlan(4, 4), 1),
        (8, None, 2, CorePlan(2, 2), 1),
        (8, None, 100, CorePlan(4, 8), 2),
        (8, 2, 6, CorePlan(2, 6), 3),
        (8, 6, 2, CorePlan(2, 2), 1),
    ],
)
def test_plan(
    monkeypatch: pytest.MonkeyPatch,
    available: int,
    streams: int | None,
    threads: int | None,
    plan: CorePlan,
    per_stream: int,
) -> None:
    monkeypatch.setattr(cores, "available_cores", lambda: available)
    assert plan_cores(streams, threads, cores_per_stream=2) == plan
    assert plan.threads_per_stream == per_stream


@pytest.mark.parametrize(
    ("available", "plan"),
    [
        (1, CorePlan(1, 1)),
        (2, CorePlan(2, 2)),
        (3, CorePlan(3, 3)),
        (8, CorePlan(4, 8)),
    ],
)
def test_a_stream_for_each_core_up_to_four(
    monkeypatch: pytest.MonkeyPatch, available: int, plan: CorePlan
) -> None:
    monkeypatch.setattr(cores, "available_cores", lambda: available)
    assert plan_cores(None, None, cores_per_stream=1) == plan


def test_a_stream_has_a_thread_at_least() -> None:
    assert CorePlan(streams=4, threads=2).threads_per_stream == 1
