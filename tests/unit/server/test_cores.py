"""How a model divides the cores."""

from __future__ import annotations

import pytest

from tritonpose_server.engines.cores import CorePlan, plan_cores


@pytest.mark.parametrize(
    ("available", "of_a_stream", "streams", "threads", "plan"),
    [
        (1, 1, None, None, CorePlan(1, 1)),
        (2, 1, None, None, CorePlan(2, 2)),
        (8, 1, None, None, CorePlan(4, 8)),
        (16, 1, None, None, CorePlan(8, 16)),
        (64, 1, None, None, CorePlan(16, 64)),
        (1, 2, None, None, CorePlan(1, 1)),
        (2, 2, None, None, CorePlan(1, 2)),
        (3, 2, None, None, CorePlan(1, 3)),
        (4, 2, None, None, CorePlan(2, 4)),
        (16, 2, None, None, CorePlan(8, 16)),
        (64, 2, None, None, CorePlan(16, 64)),
        (8, 2, 1, None, CorePlan(1, 8)),
        (8, 2, 3, None, CorePlan(3, 8)),
        (8, 2, 20, None, CorePlan(8, 8)),
        (1, 2, 4, None, CorePlan(1, 1)),
        (8, 2, None, 2, CorePlan(2, 2)),
        (8, 2, None, 100, CorePlan(4, 8)),
        (8, 2, 2, 6, CorePlan(2, 6)),
        (8, 2, 6, 2, CorePlan(2, 2)),
    ],
)
def test_plan(
    available: int,
    of_a_stream: int,
    streams: int | None,
    threads: int | None,
    plan: CorePlan,
) -> None:
    assert plan_cores(streams, threads, cores_per_stream=of_a_stream, cores=available) == plan
