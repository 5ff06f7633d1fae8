"""What the pipeline counts, and how Triton shows it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping

import pytest

from leftovers import wait_until
from triton_stand_in import Triton
from tritonpose_pipeline import errors
from tritonpose_pipeline.telemetry.metrics import (
    IN_FLIGHT,
    MEMORY,
    OUTCOMES,
    PERSONS,
    REASONS,
    REJECTIONS,
    REQUEST_SECONDS,
    REQUESTS,
    STAGE_SECONDS,
    STAGES,
    STARTED,
    Family,
    Key,
    PipelineCounts,
    TritonMetrics,
)
from tritonpose_pipeline.telemetry.spans import Stage


def stage(name: str, start_ms: float, end_ms: float) -> Stage:
    return Stage(name, int(start_ms * 1e6), int(end_ms * 1e6))


def test_a_request_with_a_result() -> None:
    counts = PipelineCounts()
    counts.accepted()
    counts.succeeded([stage("queue", 0, 0.5), stage("decode", 0.5, 5.5), stage("decode", 6, 26)], 3)
    counters, in_flight = counts.take()
    assert in_flight == 0
    assert (counters[REQUESTS.name, "ok", ""], counters[PERSONS.name, "", ""]) == (1, 3)
    # A bound belongs to its bucket, and a bucket has what is in those before it.
    assert counters[f"{STAGE_SECONDS.name}_bucket", "queue", "0.0005"] == 1
    name = f"{STAGE_SECONDS.name}_bucket"
    decode = [counters[name, "decode", le] for le in ("0.0025", "0.005", "0.01", "0.025", "+Inf")]
    assert decode == [0, 1, 1, 2, 2]
    assert counters[f"{STAGE_SECONDS.name}_count", "decode", ""] == 2
    assert counters[f"{STAGE_SECONDS.name}_sum", "decode", ""] == pytest.approx(0.025)
    assert counters[f"{REQUEST_SECONDS.name}_sum", "", ""] == pytest.approx(0.026)


def test_more_than_the_last_bound_is_counted() -> None:
    counts = PipelineCounts()
    counts.accepted()
    counts.succeeded([stage("queue", 0, 60_000)], 0)
    counters, _ = counts.take()
    buckets = [counters[f"{STAGE_SECONDS.name}_bucket", "queue", le] for le in ("10", "+Inf")]
    assert buckets == [0, 1]


def test_what_was_taken_is_not_given_again() -> None:
    counts = PipelineCounts()
    counts.accepted()
    counts.accepted()
    counts.succeeded([stage("queue", 0, 1)], 1)
    assert counts.take()[1] == 1
    assert counts.take() == ({}, 1)


def test_requests_without_a_result() -> None:
    counts = PipelineCounts()
    counts.refused(errors.TooManyRequestsError("full"))
    counts.accepted()
    counts.failed([], errors.BadImageError("empty"))
    assert counts.take() == (
        {
            (REQUESTS.name, "unavailable", ""): 1,
            (REQUESTS.name, "invalid", ""): 1,
            (REJECTIONS.name, "max_in_flight", ""): 1,
            (REJECTIONS.name, "image", ""): 1,
        },
        0,
    )


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
        persons += counts.take()[0].get((PERSONS.name, "", ""), 0)
    last, in_flight = counts.take()
    assert persons + last.get((PERSONS.name, "", ""), 0) == 8 * 500 * 2
    assert in_flight == 0


def test_triton_shows_every_series_from_the_start_and_what_is_counted() -> None:
    shown, counts = Triton(), PipelineCounts()
    metrics = TritonMetrics(shown.module(), counts, lambda: None)
    assert set(shown.metrics) >= {
        *((REQUESTS.name, outcome) for outcome in OUTCOMES),
        *((f"{STAGE_SECONDS.name}_bucket", stage, "+Inf") for stage in STAGES),
        (f"{REQUEST_SECONDS.name}_sum",),
    }
    assert not any(metric.value() for metric in shown.metrics.values())
    for _ in range(3):
        counts.accepted()
    counts.succeeded([stage("decode", 0, 4)], 2)
    counts.refused(errors.ShuttingDownError("soon"))
    metrics.close()
    values = {key: metric.value() for key, metric in shown.metrics.items() if metric.value()}
    assert values[IN_FLIGHT.name,] == 2
    assert time.time() - 60 < values[STARTED.name,] <= time.time()
    assert values[REQUESTS.name, "ok"] == 1
    assert values[PERSONS.name,] == 2
    assert values[REJECTIONS.name, "shutdown"] == 1
    assert values[f"{STAGE_SECONDS.name}_bucket", "decode", "0.005"] == 1
    assert values[f"{STAGE_SECONDS.name}_sum", "decode"] == pytest.approx(0.004)


def test_several_instances_add_up() -> None:
    shown, counts = Triton(), [PipelineCounts(), PipelineCounts()]
    module = shown.module()
    instances = [TritonMetrics(module, each, lambda: None, interval_s=0.001) for each in counts]

    def value(family: Family, *labels: str) -> float:
        return shown.metrics[(family.name, *labels)].value()

    for number, each in enumerate(counts, 1):
        for _ in range(number):
            each.accepted()
            each.accepted()
            each.succeeded([stage("decode", 0, 4)], 1)
    assert wait_until(lambda: value(REQUESTS, "ok") == value(IN_FLIGHT) == 3, 30)
    assert wait_until(lambda: 2 * 10**6 < value(MEMORY) < 10**11, 30)
    assert time.time() - 60 < value(STARTED) <= time.time()
    for each in counts:
        each.failed([], errors.BadRequestError("threshold"))
    assert wait_until(lambda: value(IN_FLIGHT) == 1, 30)
    for metrics in instances:
        metrics.close()
    assert value(MEMORY) == 0


def test_idleness_is_told_once_after_each_time_of_work() -> None:
    told: queue.SimpleQueue[None] = queue.SimpleQueue()

    class Counts(PipelineCounts):
        looked = 0

        def take(self) -> tuple[Mapping[Key, float], int]:
            self.looked += 1
            return super().take()

    counts = Counts()
    metrics = TritonMetrics(Triton().module(), counts, lambda: told.put(None), interval_s=0.001)
    for _ in range(2):
        counts.accepted()
        counts.succeeded([stage("decode", 0, 4)], 2)
        told.get(timeout=30)
        last = counts.looked
        assert wait_until(lambda last=last: counts.looked > last + 3, 30)
        assert told.empty()
    counts.accepted()
    metrics.close()
    assert told.empty()


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
    assert counts.take()[0] == {(REQUESTS.name, outcome, ""): 1, (REJECTIONS.name, reason, ""): 1}
    assert outcome in OUTCOMES
    assert reason in REASONS
