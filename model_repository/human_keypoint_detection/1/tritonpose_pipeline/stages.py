"""Times the stages of a request."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

TimeStage = Callable[[str], AbstractContextManager[None]]
"""Gives a context that times the stage of this name."""


class Stage(NamedTuple):
    """A stage that is over.

    Attributes:
        name: Its name.
        start: When it began, in ns of ``time.perf_counter_ns``.
        end: When it ended, likewise.
    """

    name: str
    start: int
    end: int

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.end - self.start) / 1e9


class Stages:
    """The stages of one request, for one thread.

    Attributes:
        over: Those that are over, in order.
        failed: The one that an exception ended, None for none.

    Example:
        with stages("decode"):
            image = decode(file)
    """

    def __init__(self) -> None:
        self.over: list[Stage] = []
        self.failed: str | None = None

    def __call__(self, name: str) -> AbstractContextManager[None]:
        """Time what runs within."""
        return _Timer(self, name)

    def came(self, name: str, start: int) -> None:
        """Note a stage that began elsewhere and ends now.

        Args:
            name: Its name.
            start: When it began, in ns of ``time.perf_counter_ns``.
        """
        self.over.append(Stage(name, start, time.perf_counter_ns()))


class _Timer:
    """Times one stage; a class, for it costs half of what a generator would."""

    __slots__ = ("_name", "_stages", "_start")

    def __init__(self, stages: Stages, name: str) -> None:
        self._stages = stages
        self._name = name

    def __enter__(self) -> None:
        self._start = time.perf_counter_ns()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stages.over.append(Stage(self._name, self._start, time.perf_counter_ns()))
        if kind is not None:
            self._stages.failed = self._name


def untimed(_name: str) -> AbstractContextManager[None]:
    """A context that times nothing."""
    return nullcontext()
