"""What all parts of the test share: the plan, the service under test, and the loop of requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tools.soak.clients import Clients
from tools.soak.endpoints import Endpoint
from tools.soak.hostile import HostileFile
from tools.soak.pictures import Picture
from tools.soak.report import Outcome, Report
from tools.soak.service import Service

_PROGRESS_SECONDS = 30.0

Send = Callable[[Endpoint, int], Awaitable[Outcome | None]]
"""Sends the request of a number, from 0, to an endpoint."""


def _setting(default: Any, quick: Any, about: str) -> Any:
    """Declare an option of the command, its value with ``--quick``, and its help."""
    return field(default=default, metadata={"quick": quick, "help": about})


@dataclass(frozen=True)
class Plan:
    """How much is done; the command has an option for each of these settings."""

    decoded: int = _setting(100_000, 2_000, "fuzz: damaged images decoded without a server")
    sent: int = _setting(20_000, 500, "fuzz: damaged images sent to the service")
    attack_seconds: float = _setting(20.0, 0.5, "connections: seconds for each kind of attack")
    minutes: float = _setting(30.0, 0.1, "load: its duration in minutes")
    overload: float = _setting(2.0, 2.0, "load: its rate, as a multiple of the service's capacity")
    requests: int = _setting(20_000, 500, "requests: number of requests")
    reloads: int = _setting(20, 1, "reloads: how often each model is reloaded")
    kills: int = _setting(20, 1, "kills: how often each process is killed")
    roles: str = _setting("", "", "kills: only some of triton,pipeline,hps,rest,names of models")
    seed: int = _setting(0, 0, "seed of everything random")


@dataclass(frozen=True)
class Context:
    """What all parts of the test use."""

    service: Service
    endpoints: Sequence[Endpoint]
    pictures: Sequence[Picture]
    refused: Sequence[HostileFile]
    plan: Plan
    progress: Callable[[str], None]

    def clients(self, report: Report, *, any_refusal: bool = False) -> Clients:
        """Make clients of the service; see `Clients`."""
        seed = self.plan.seed
        return Clients(self.pictures, self.refused, report, seed, any_refusal=any_refusal)

    def endpoint(self, number: int) -> Endpoint:
        """Choose the endpoint of a request: all take turns."""
        return self.endpoints[number % len(self.endpoints)]

    def reporter(self, part: str) -> Callable[[str], None]:
        """Make a function that shows the user a line about a part, but only now and then."""
        reported = time.monotonic()

        def report(line: str) -> None:
            nonlocal reported
            if time.monotonic() > reported + _PROGRESS_SECONDS:
                reported = time.monotonic()
                self.progress(f"{part}: {line}")

        return report

    async def send_all(
        self, part: str, send: Send, numbers: Iterable[int], concurrency: int
    ) -> None:
        """Send the requests of some numbers, with as many in flight at any time (closed loop)."""
        report = self.reporter(part)
        shared = iter(numbers)

        async def work() -> None:
            for number in shared:
                await send(self.endpoint(number), number)
                report(f"{number} sent")

        await asyncio.gather(*(work() for _ in range(concurrency)))
