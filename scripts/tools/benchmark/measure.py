"""Measure the contestants in interleaved rounds."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from tools.benchmark.contestants import Contestant, InProcessContestant, pairs
from tools.benchmark.figures import Figure, Measurement, figure, measurement
from tools.benchmark.machine import Watch
from tools.benchmark.workload import Plan, Sample, Scene
from tools.errors import ToolError
from tritonpose.drawing.poses import draw_poses

RENDER = "render"
"""Key of our drawing function."""

BEST = "best"

_PERCENTILES = {"p50": 50, "p95": 95, "p99": 99}
_TITLES = {
    "people": "Latency by people in the image, ms",
    "sizes": "Latency by size of the image, ms",
}
_CLIENT_IN_FLIGHT = 8  # the client's default
_BATCH_IMAGES = 32

Result = TypeVar("Result")


def in_rounds(
    contestants: Sequence[Contestant],
    rounds: int,
    measure: Callable[[Contestant], Result],
    watch: Watch,
) -> dict[str, list[tuple[Result, float]]]:
    """Measure every contestant once in each round, with a progress bar on a terminal.

    Changes of the machine's speed so affect all of them alike. Each round begins with another
    contestant, so that none always follows the same one. Returns measured values and CPU seconds.
    """
    results: dict[str, list[tuple[Result, float]]] = {each.key: [] for each in contestants}
    first = [number % len(contestants) for number in range(rounds) if contestants]
    turns = [each for start in first for each in (*contestants[start:], *contestants[:start])]
    for contestant in tqdm(turns, "turns", leave=False, disable=None):
        results[contestant.key].append(watch.measured(contestant, measure))
    return results


def measure_latency(
    contestants: Sequence[Contestant], samples: Sequence[Sample], plan: Plan, watch: Watch
) -> tuple[Measurement, dict[str, npt.NDArray[np.float64]]]:
    """Time images, one at a time: also milliseconds ``[rounds, passes, images]`` by key."""
    passes = max(math.ceil(plan.latency_samples / len(samples)), 1)
    milliseconds = _times(contestants, [*samples] * passes, plan, watch)
    columns = {
        label: {key: _over_samples(ms, percent) for key, ms in milliseconds.items()}
        for label, percent in _PERCENTILES.items()
    }
    columns["mean"] = {
        key: figure(ms.mean(axis=1).tolist(), float(ms.mean())) for key, ms in milliseconds.items()
    }
    count = plan.rounds * passes * len(samples)
    found = measurement(
        "latency",
        f"Latency of one image at a time, ms ({len(samples)} images, {count} samples each)",
        columns,
        pairs(contestants),
    )
    shape = (plan.rounds, passes, len(samples))
    return found, {key: ms.reshape(shape) for key, ms in milliseconds.items()}


def measure_each_image(
    name: Literal["people", "sizes"],
    contestants: Sequence[Contestant],
    images: Mapping[str, Sample],
    plan: Plan,
    watch: Watch,
) -> Measurement:
    """Time images by themselves, the median of each."""
    samples = [sample for sample in images.values() for _ in range(plan.repeats)]
    milliseconds = _times(contestants, samples, plan, watch)
    columns = {
        label: {
            key: _over_samples(ms[:, begin : begin + plan.repeats])
            for key, ms in milliseconds.items()
        }
        for label, begin in zip(images, range(0, len(samples), plan.repeats), strict=True)
    }
    return measurement(name, _TITLES[name], columns, pairs(contestants))


def measure_throughput(
    contestants: Sequence[Contestant], samples: Sequence[Sample], plan: Plan, watch: Watch
) -> list[Measurement]:
    """Measure images per second at each concurrency, and CPU milliseconds per image.

    Contestants that take one image at a time are measured so; more in flight would only wait,
    and their figure is repeated for every concurrency.
    """
    rates: dict[str, dict[str, Figure]] = {}
    costs: dict[str, dict[str, Figure]] = {}
    first: dict[str, tuple[Figure, Figure]] = {}
    for concurrency in plan.concurrencies:
        taking_part = [each for each in contestants if each.parallel or not first]
        found = _measure_rates(taking_part, samples, concurrency, plan, watch)
        first = first or found
        figures = {each.key: found.get(each.key, first[each.key]) for each in contestants}
        rates[str(concurrency)] = {key: rate for key, (rate, _) in figures.items()}
        costs[str(concurrency)] = {key: cost for key, (_, cost) in figures.items()}
    compared = pairs(contestants)
    rates[BEST] = {
        each.key: max((rates[label][each.key] for label in costs), key=lambda rate: rate["value"])
        for each in contestants
    }
    return [
        measurement(
            "throughput",
            f"Images per second, by images in flight ({len(samples)} images)",
            rates,
            compared,
            unit="images/s",
        ),
        measurement(
            "cpu",
            "CPU time per image with what sends it, ms, by images in flight",
            costs,
            compared,
        ),
    ]


def measure_client(
    predict: Contestant,
    others: Sequence[Contestant],
    samples: Sequence[Sample],
    plan: Plan,
    watch: Watch,
) -> Measurement:
    """Measure images per second of `predict` and of what it is compared with."""
    found = _measure_rates([*others, predict], samples, _CLIENT_IN_FLIGHT, plan, watch)
    label = f"{_CLIENT_IN_FLIGHT} in flight"
    return measurement(
        "client",
        f"Images per second of the client over files ({len(samples)} images)",
        {label: {key: rate for key, (rate, _) in found.items()}},
        [(predict.key, other.key) for other in others],
        unit="images/s",
    )


def measure_batch(
    batch: Contestant, rest: Contestant, samples: Sequence[Sample], plan: Plan, watch: Watch
) -> Measurement:
    """Measure images per second of calls of a batch, and of as many calls of an image at once."""
    found = _measure_rates([rest, batch], samples, _BATCH_IMAGES, plan, watch)
    label = f"{_BATCH_IMAGES} images"
    return measurement(
        "batch",
        f"Images per second of REST: calls of {_BATCH_IMAGES} images, and as many calls of one in "
        f"flight ({len(samples)} images)",
        {label: {key: rate for key, (rate, _) in found.items()}},
        [(batch.key, rest.key)],
        unit="images/s",
    )


def measure_rendering(paddlex: InProcessContestant, scene: Scene, plan: Plan) -> Measurement:
    """Time PaddleX's drawing function and ours alternately, on the same pixels."""
    image = np.asarray(cv2.imread(str(scene.path)), np.uint8)
    people = scene.keypoints.tolist()
    theirs: list[list[float]] = []
    ours: list[list[float]] = []
    with tempfile.TemporaryDirectory() as work:
        drawing = {"image": str(scene.path), "keypoints": people, "target": f"{work}/picture.npy"}
        for _ in range(plan.rounds):
            theirs.append(paddlex.worker.call("draw", repeat=plan.repeats, **drawing))
            ours.append([])
            for _ in range(plan.repeats):
                began = time.perf_counter()
                drawn = draw_poses(image, scene.keypoints)
                ours[-1].append(time.perf_counter() - began)
        differing = int((np.load(Path(work, "picture.npy")) != drawn).any(axis=2).sum())
    if differing:
        raise ToolError(
            f"PaddleX's drawing of {scene.path.name} differs from ours in {differing} pixels"
        )
    height, width = image.shape[:2]
    label = f"{len(people)} people, {width}x{height}"
    seconds = {paddlex.key: theirs, RENDER: ours}
    return measurement(
        "rendering",
        "Drawing people into an image, ms (equal pixels)",
        {label: {key: _over_samples(np.array(s) * 1000.0) for key, s in seconds.items()}},
        [(RENDER, paddlex.key)],
    )


def measure_start(
    contestants: Sequence[InProcessContestant], sample: Sample, plan: Plan
) -> Measurement:
    """Measure how long a new process takes to its first answer, its models being converted."""
    rounds = [
        {x.key: x.start_seconds(sample) * 1000 for x in contestants} for _ in range(plan.rounds)
    ]
    results = {each.key: figure([one[each.key] for one in rounds]) for each in contestants}
    return measurement(
        "start",
        "From the start of a process to its first answer, ms",
        {"first answer": results},
        pairs(contestants),
    )


def request_overhead(served: npt.NDArray[np.float64], engine: npt.NDArray[np.float64]) -> float:
    """Compute what a server adds per image: the mean of the differences of images' medians.

    Both are milliseconds ``[rounds, passes, images]`` for the same images.
    """
    difference = np.median(served, axis=(0, 1)) - np.median(engine, axis=(0, 1))
    return float(difference.mean())


def _times(
    contestants: Sequence[Contestant], samples: Sequence[Sample], plan: Plan, watch: Watch
) -> dict[str, npt.NDArray[np.float64]]:
    """Time samples one at a time: milliseconds ``[rounds, samples]`` by contestant's key."""
    results = in_rounds(contestants, plan.rounds, lambda each: each.time_each(samples), watch)
    return {
        key: np.array([seconds for seconds, _ in rounds], np.float64) * 1000
        for key, rounds in results.items()
    }


def _over_samples(samples: npt.NDArray[Any], percent: float = 50) -> Figure:
    """Compute a percentile of ``[rounds, samples]`` together, and of each round."""
    rounds = np.percentile(samples, percent, axis=1).tolist()
    return figure(rounds, float(np.percentile(samples, percent)))


def _measure_rates(
    contestants: Sequence[Contestant],
    samples: Sequence[Sample],
    concurrency: int,
    plan: Plan,
    watch: Watch,
) -> dict[str, tuple[Figure, Figure]]:
    """Measure images per second and CPU milliseconds per image, by contestant's key."""

    def images_to_time(each: Contestant) -> int:
        # Whole passes over the images, so that each counts equally, for the planned duration, and
        # at least until all in flight have been answered once.
        probe = each.rate(samples, concurrency, 0, len(samples))
        least = max(plan.rate_seconds * probe.per_second, concurrency)
        return math.ceil(least / len(samples)) * len(samples)

    counts = {each.key: images_to_time(each) for each in contestants}
    results = in_rounds(
        contestants,
        plan.rounds,
        # Once all in flight have been answered, the load is steady.
        lambda each: each.rate(samples, concurrency, concurrency, counts[each.key]),
        watch,
    )
    return {
        key: (
            figure([rate.per_second for rate, _ in rounds]),
            figure([seconds / rate.images * 1000 for rate, seconds in rounds]),
        )
        for key, rounds in results.items()
    }
