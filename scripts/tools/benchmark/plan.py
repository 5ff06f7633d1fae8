"""How much is measured: enough for figures to publish, or just enough to see that all works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: Times that each contestant has its turn.
        latency_samples: Least images per round for latencies.
        rate_seconds: Least duration of one measurement of images per second.
        concurrencies: Images under way at a time.
        persons: Numbers of people in an image.
        megapixels: Sizes of an image.
        repeats: Times per round that an image of those is timed, or a picture drawn.
        images: Most images that are used.
    """

    rounds: int
    latency_samples: int
    rate_seconds: float
    concurrencies: tuple[int, ...]
    persons: tuple[int, ...]
    megapixels: tuple[float, ...]
    repeats: int
    images: int


FULL = Plan(
    rounds=5,
    latency_samples=20,
    rate_seconds=3.0,
    concurrencies=(1, 4, 16, 64),
    persons=(0, 1, 3, 9, 30),
    megapixels=(0.3, 1, 2, 4, 8, 12),
    repeats=4,
    images=50,
)
QUICK = Plan(
    rounds=2,
    latency_samples=3,
    rate_seconds=0.5,
    concurrencies=(1, 4, 16),
    persons=(0, 1, 9),
    megapixels=(0.3, 2, 12),
    repeats=2,
    images=4,
)
