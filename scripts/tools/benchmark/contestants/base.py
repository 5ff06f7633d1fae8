"""What anything that is measured can do."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

from tools.benchmark.load import Rate, measure_rate
from tools.benchmark.shots import Shot
from tritonpose.transport.messages import PoseResponse

Role = Literal["rival", "limit", "ours"]


class Contestant(ABC):
    """One that answers images. While nothing is asked of it, it must be idle.

    Attributes:
        key: Names it in the JSON report.
        label: What tables call it.
        role: Whether it is compared with, bounds what is possible, or is ours.
        parallel: Whether it can work on several images at a time.
    """

    def __init__(self, key: str, label: str, role: Role, *, parallel: bool) -> None:
        self.key = key
        self.label = label
        self.role: Role = role
        self.parallel = parallel

    @abstractmethod
    def answer(self, shot: Shot) -> PoseResponse:
        """The persons in an image."""

    @abstractmethod
    def time_each(self, shots: Sequence[Shot]) -> list[float]:
        """Seconds that each image takes, one after the other."""

    @abstractmethod
    def rate(self, shots: Sequence[Shot], concurrency: int, skip: int, count: int) -> Rate:
        """How many images per second it answers with so many under way; see `measure_rate`."""

    @abstractmethod
    def processes(self) -> list[int]:
        """Its processes' roots; none of them is this process."""

    @abstractmethod
    def close(self) -> None:
        """End what was started for it alone."""


def pairs(contestants: Sequence[Contestant]) -> tuple[tuple[str, str], ...]:
    """Who is compared with whom, as keys of ours and of the other.

    Our first is compared with all rivals and the limit; all of ours, with those rivals that are
    servers, as they are.
    """
    ours = [each for each in contestants if each.role == "ours"]
    others = [each for each in contestants if each.role != "ours"]
    return tuple(
        (one.key, other.key)
        for one in ours
        for other in others
        if one is ours[0] or other.role == "limit" or other.parallel
    )


class CalledContestant(Contestant):
    """One whose images are sent from this process."""

    def time_each(self, shots: Sequence[Shot]) -> list[float]:
        """Seconds that each image takes, one after the other."""
        seconds = []
        for shot in shots:
            began = time.perf_counter()
            self.answer(shot)
            seconds.append(time.perf_counter() - began)
        return seconds

    def rate(self, shots: Sequence[Shot], concurrency: int, skip: int, count: int) -> Rate:
        """How many images per second it answers with so many under way; see `measure_rate`."""
        return measure_rate(self.answer, shots, concurrency, skip, count)
