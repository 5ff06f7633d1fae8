"""Measure one image at a time: latency by photo, people and size, and the time of drawing."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from tools.benchmark.contestants import Contestant, InProcessContestant, pairs
from tools.benchmark.machine import Watch, Window
from tools.benchmark.results import Case, Measurement, Series, percentile
from tools.benchmark.workload import Plan, Sample, Scene
from tools.errors import BenchmarkError
from tritonpose.drawing.poses import draw_poses

RENDER = "render"
"""Key of our drawing function."""

_MEDIAN = percentile(50)
_FIGURES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "p50": _MEDIAN,
    "p95": percentile(95),
    "p99": percentile(99),
    "mean": lambda values: float(np.mean(values)),
}

_TITLES = {
    "people": ("Latency by people in the image, ms", "Latency, {} people in the image"),
    "sizes": ("Latency by size of the image, ms", "Latency, image of {}"),
}

Result = TypeVar("Result")


def in_rounds(
    contestants: Sequence[Contestant],
    rounds: int,
    measure: Callable[[Contestant], Result],
    watch: Watch,
) -> dict[str, list[tuple[Result, Window]]]:
    """Measure every contestant once in each round, with a progress bar on a terminal.

    Changes of the machine's speed so affect all of them alike. Each round begins with another
    contestant, so that none always follows the same one.

    Args:
        contestants: Who takes part.
        rounds: How many rounds.
        measure: Measures one contestant.
        watch: Records the use of the CPU meanwhile.

    Returns:
        By the contestants' keys, for each round what was measured and how the CPU was used.
    """
    results: dict[str, list[tuple[Result, Window]]] = {each.key: [] for each in contestants}
    first = [number % len(contestants) for number in range(rounds) if contestants]
    turns = [each for start in first for each in (*contestants[start:], *contestants[:start])]
    for contestant in tqdm(turns, "turns", leave=False, disable=None):
        with watch.during(contestant) as window:
            result = measure(contestant)
        results[contestant.key].append((result, window))
    return results


def measure_latency(
    contestants: Sequence[Contestant], samples: Sequence[Sample], plan: Plan, watch: Watch
) -> tuple[Measurement, dict[str, npt.NDArray[np.float64]]]:
    """Time a set of images, one at a time, in every round.

    Returns:
        Percentiles and mean, and by contestant's key milliseconds ``[rounds, passes, images]``.
    """
    passes = max(math.ceil(plan.latency_samples / len(samples)), 1)
    results = in_rounds(
        contestants, plan.rounds, lambda each: each.time_each([*samples] * passes), watch
    )
    milliseconds = {
        key: np.array([seconds for seconds, _ in rounds], np.float64) * 1000
        for key, rounds in results.items()
    }
    cases = [
        Case(
            label,
            {key: Series.of_samples(ms.tolist(), figure) for key, ms in milliseconds.items()},
        )
        for label, figure in _FIGURES.items()
    ]
    count = plan.rounds * passes * len(samples)
    measurement = _in_milliseconds(
        "latency",
        f"Latency of one image at a time, ms ({len(samples)} images, {count} samples each)",
        cases,
        headline="p50",
        summary="Latency, median",
        compared=pairs(contestants),
    )
    shape = (plan.rounds, passes, len(samples))
    return measurement, {key: ms.reshape(shape) for key, ms in milliseconds.items()}


def measure_each_image(
    name: Literal["people", "sizes"],
    contestants: Sequence[Contestant],
    images: Mapping[str, Sample],
    plan: Plan,
    watch: Watch,
) -> Measurement:
    """Time images by themselves, the median of each.

    Args:
        name: In what the images differ.
        contestants: Who takes part.
        images: By their labels: the number of people, or the size.
        plan: How often.
        watch: Records the use of the CPU meanwhile.
    """
    samples = [sample for sample in images.values() for _ in range(plan.repeats)]
    results = in_rounds(contestants, plan.rounds, lambda each: each.time_each(samples), watch)
    cases = [
        Case(
            label,
            {
                key: _median_ms([seconds[begin : begin + plan.repeats] for seconds, _ in rounds])
                for key, rounds in results.items()
            },
        )
        for label, begin in zip(images, range(0, len(samples), plan.repeats), strict=True)
    ]
    title, summary = _TITLES[name]
    last = cases[-1].label
    return _in_milliseconds(
        name,
        title,
        cases,
        headline=last,
        summary=summary.format(last),
        compared=pairs(contestants),
    )


def measure_rendering(paddlex: InProcessContestant, scene: Scene, plan: Plan) -> Measurement:
    """Time PaddleX's drawing function and ours alternately, on the same pixels.

    Raises:
        BenchmarkError: Their pictures differ.
    """
    image = np.asarray(cv2.imread(str(scene.path)), np.uint8)
    theirs: list[list[float]] = []
    ours: list[list[float]] = []
    with tempfile.TemporaryDirectory() as work:
        picture = Path(work, "picture.npy")
        for _ in range(plan.rounds):
            theirs.append(
                paddlex.worker.call(
                    "draw",
                    image=str(scene.path),
                    keypoints=scene.keypoints.tolist(),
                    repeat=plan.repeats,
                    target=str(picture),
                )
            )
            ours.append([])
            for _ in range(plan.repeats):
                began = time.perf_counter()
                drawn = draw_poses(image, scene.keypoints)
                ours[-1].append(time.perf_counter() - began)
        differing = int((np.load(picture) != drawn).any(axis=2).sum())
    if differing:
        raise BenchmarkError(
            f"PaddleX's drawing of {scene.path.name} differs from ours in {differing} pixels"
        )
    height, width = image.shape[:2]
    label = f"{len(scene.keypoints)} people, {width}x{height}"
    series = {paddlex.key: _median_ms(theirs), RENDER: _median_ms(ours)}
    return _in_milliseconds(
        "rendering",
        "Drawing people into an image, ms (equal pixels)",
        [Case(label, series)],
        headline=label,
        summary=f"Drawing {label}",
        compared=((RENDER, paddlex.key),),
    )


def _median_ms(rounds: Sequence[Sequence[float]]) -> Series:
    return Series.of_samples([[second * 1000 for second in each] for each in rounds], _MEDIAN)


def _in_milliseconds(
    name: str,
    title: str,
    cases: Sequence[Case],
    *,
    headline: str,
    summary: str,
    compared: tuple[tuple[str, str], ...],
) -> Measurement:
    return Measurement(
        name=name,
        title=title,
        unit="ms",
        better="lower",
        cases=tuple(cases),
        headline=headline,
        summary=summary,
        pairs=compared,
    )
