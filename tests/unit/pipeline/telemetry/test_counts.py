"""What the pipeline counts, before Triton hears of it."""

from __future__ import annotations

import threading

import pytest

from tritonpose_pipeline import errors
from tritonpose_pipeline.telemetry.counts import (
    BOUNDS,
    OUTCOMES,
    PERSONS,
    REASONS,
    REJECTIONS,
    REQUEST_SECONDS,
    REQUESTS,
    STAGE_SECONDS,
    PipelineCounts,
)
from tritonpose_pipeline.telemetry.spans import Stage


def stage(name: str, start_ms: float, end_ms: float) -> Stage:
    return Stage(name, int(start_ms * 1e6), int(end_ms * 1e6))


def test_a_request_with_a_result() -> None:
    counts = PipelineCounts()
    counts.accepted()
    counts.succeeded([stage("queue", 0, 0.5), stage("decode", 0.5, 5.5), stage("decode", 6, 26)], 3)
    taken = counts.take()
    assert dict(taken.counters) == {(REQUESTS.name, "ok"): 1, (PERSONS.name, ""): 3}
    decode = taken.histograms[STAGE_SECONDS.name, "decode"]
    assert decode.seconds == pytest.approx(0.025)
    # A bound belongs to its bucket.
    assert taken.histograms[STAGE_SECONDS.name, "queue"].counts[BOUNDS.index(0.0005)] == 1
    assert decode.counts[BOUNDS.index(0.005)] == 1
    assert decode.counts[BOUNDS.index(0.025)] == 1
    assert sum(decode.counts) == 2
    assert taken.histograms[REQUEST_SECONDS.name, ""].seconds == pytest.approx(0.026)


def test_more_than_the_last_bound_is_counted() -> None:
    counts = PipelineCounts()
    counts.accepted()
    counts.succeeded([stage("queue", 0, 60_000)], 0)
    seen = counts.take().histograms[STAGE_SECONDS.name, "queue"]
    assert seen.counts == [0] * len(BOUNDS) + [1]


def test_what_was_taken_is_not_given_again() -> None:
    counts = PipelineCounts()
    counts.accepted()
    counts.accepted()
    counts.succeeded([stage("queue", 0, 1)], 1)
    assert counts.take().in_flight == 1
    assert counts.take() == ({}, {}, 1)


def test_requests_without_a_result() -> None:
    counts = PipelineCounts()
    counts.refused(errors.TooManyRequestsError("full"))
    counts.accepted()
    counts.failed([stage("queue", 0, 1)], errors.BadImageError("empty"))
    taken = counts.take()
    assert dict(taken.counters) == {
        (REQUESTS.name, "unavailable"): 1,
        (REQUESTS.name, "invalid"): 1,
        (REJECTIONS.name, "max_in_flight"): 1,
        (REJECTIONS.name, "image"): 1,
    }
    assert taken.in_flight == 0


def test_many_threads() -> None:
    counts = PipelineCounts()

    def work() -> None:
        for _ in range(500):
            counts.accepted()
            counts.succeeded([stage("queue", 0, 1)], 2)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    persons = 0.0
    while any(thread.is_alive() for thread in threads):
        persons += counts.take().counters.get((PERSONS.name, ""), 0)
    last = counts.take()
    assert persons + last.counters.get((PERSONS.name, ""), 0) == 8 * 500 * 2
    assert last.in_flight == 0


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (errors.BadRequestError("threshold"), "invalid", "options"),
        (errors.BadImageError("no image"), "invalid", "image"),
        (errors.DamagedImageError("cut off"), "invalid", "damaged_image"),
        (errors.TooManyRequestsError("full"), "unavailable", "max_in_flight"),
        (errors.ShuttingDownError("soon"), "unavailable", "shutdown"),
        (errors.ModelUnavailableError("not loaded"), "unavailable", "model"),
        (errors.ModelFailedError("broken"), "internal", "model"),
        (errors.MemoryDeadlineError("no memory"), "deadline", "memory"),
        (errors.DeadlineError("late"), "deadline", "deadline"),
        (errors.CancelledError("gone"), "cancelled", "cancelled"),
        (ZeroDivisionError(), "internal", "internal"),
    ],
)
def test_labels_of_errors(error: Exception, outcome: str, reason: str) -> None:
    counts = PipelineCounts()
    counts.refused(error)
    counters = {key: count for key, count in counts.take().counters.items() if count}
    assert counters == {(REQUESTS.name, outcome): 1, (REJECTIONS.name, reason): 1}
    assert outcome in OUTCOMES
    assert reason in REASONS
