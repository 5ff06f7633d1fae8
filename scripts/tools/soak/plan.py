"""How much is done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """How much is done.

    Attributes:
        decoded: Damaged images decoded in a process without a server.
        sent: Damaged images sent to the service.
        minutes: How long the load lasts.
        overload: Its rate, as a multiple of what the service can do.
        kills: How often each process is killed.
        roles: Which processes are killed; None for all.
        reloads: How often each model is unloaded and loaded.
        requests: How many requests the memory must bear.
        seed: Of everything random.
    """

    decoded: int = 100_000
    sent: int = 20_000
    minutes: float = 30.0
    overload: float = 2.0
    kills: int = 20
    roles: tuple[str, ...] | None = None
    reloads: int = 20
    requests: int = 20_000
    seed: int = 0


QUICK = Plan(decoded=2_000, sent=500, minutes=0.2, kills=1, reloads=1, requests=500)
"""Half a minute or so: to see that it works."""
