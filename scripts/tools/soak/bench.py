"""What all parts of the test use."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from tools.soak.askers import Askers
from tools.soak.fronts import Front
from tools.soak.hostile import HostileFile
from tools.soak.memory import MemoryLog
from tools.soak.pictures import Picture
from tools.soak.service import Service
from tools.soak.tally import Tally

Progress = Callable[[str], None]

_PROGRESS_SECONDS = 30.0


@dataclass(frozen=True)
class Bench:
    """What all parts of the test use.

    Attributes:
        service: The service under test.
        fronts: The ways into it.
        pictures: Images whose answers are known.
        refused: Files that must be refused.
        seed: Of everything random.
        progress: Called with lines for the user.
    """

    service: Service
    fronts: Sequence[Front]
    pictures: Sequence[Picture]
    refused: Sequence[HostileFile]
    seed: int
    progress: Progress

    def askers(self, tally: Tally, *, any_refusal: bool = False) -> Askers:
        """Who asks, told apart only by what they tell."""
        rng = random.Random(self.seed)
        return Askers(self.pictures, self.refused, tally, rng, any_refusal=any_refusal)


@dataclass
class PartReport:
    """What one part found.

    Attributes:
        name: The part.
        figures: What it measured.
        violations: What must not be, the first ones.
    """

    name: str
    figures: dict[str, str] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def add_tally(self, tally: Tally) -> None:
        """Take over counts, times and violations."""
        self.figures |= tally.figures()
        self.violations += tally.violations

    def add_memory(self, log: MemoryLog) -> None:
        """Take over sizes, and what has grown."""
        self.figures |= log.figures()
        self.violations += log.violations()

    def compare_processes(self, before: dict[str, int], after: dict[str, int]) -> None:
        """Note processes that were started anew."""
        for role, pid in before.items():
            if after.get(role) != pid:
                self.violations.append(f"process {role} has died and was started again")


async def in_parallel(
    make: Callable[[int], Awaitable[object]],
    count: int,
    concurrency: int,
    tell: Callable[[int], None],
) -> None:
    """Do so many things, so many of them at a time.

    Args:
        make: Does the one of a number, from 0.
        count: How many there are.
        concurrency: How many are under way.
        tell: Called with the number of those done, now and then.
    """
    numbers = iter(range(count))
    told = time.monotonic()

    async def work() -> None:
        nonlocal told
        for number in numbers:
            await make(number)
            if time.monotonic() > told + _PROGRESS_SECONDS:
                told = time.monotonic()
                tell(number)

    await asyncio.gather(*(work() for _ in range(concurrency)))
