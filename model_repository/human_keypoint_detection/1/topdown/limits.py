"""How much the pipeline takes on at a time."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from topdown.leaf import LeafError

_MAX_AUTO_WORKERS = 64


@dataclass(frozen=True)
class Limits:
    """Bounds on the requests under way.

    Attributes:
        workers: Requests worked on at the same time.
        max_in_flight: Requests accepted at the same time, waiting ones included.
    """

    workers: int
    max_in_flight: int

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> Limits:
        """Read limits from ``parameters`` of the pipeline's ``config.pbtxt``.

        Raises:
            LeafError: A limit is not a positive integer (or ``AUTO``, for the workers).
        """
        # Workers mostly wait for the leaves: enough of them keep leaves and cores busy.
        automatic = min(4 * len(os.sched_getaffinity(0)), _MAX_AUTO_WORKERS)
        return cls(
            workers=_positive(parameters, "workers", automatic),
            max_in_flight=_positive(parameters, "max_in_flight", 128),
        )


def _positive(parameters: Mapping[str, str], key: str, default: int) -> int:
    text = parameters.get(key, "AUTO")
    if text.upper() == "AUTO":
        return default
    if not re.fullmatch(r"[1-9]\d{0,8}", text, re.ASCII):
        raise LeafError(
            f"the pipeline's parameter `{key}` must be a positive integer or AUTO, got {text!r}"
        )
    return int(text)
