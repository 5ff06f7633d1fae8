"""How much the pipeline accepts: of one request, and at the same time."""

from __future__ import annotations

import queue
import random
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace

from tritonpose_pipeline.cores import available_cores
from tritonpose_pipeline.errors import MemoryDeadlineError, ModelError
from tritonpose_pipeline.usage import PIXELS, Usage

MAX_PIXELS = 8192 * 8192
"""Pixels of an image that are accepted by default: the cameras of phones have up to 64 million."""

_MAX_AUTO_WORKERS = 64

# Between two looks at what other processes use, in seconds.
_PAUSES = (0.005, 0.015)


@dataclass(frozen=True)
class Limits:
    """Bounds on requests, all of them parameters of the pipeline's ``config.pbtxt``.

    Attributes:
        workers: Requests worked on at the same time.
        threads: Workers that compute at the same time; the others wait for models.
        max_in_flight: Requests accepted at the same time, waiting ones included.
        max_image_bytes: Size of an encoded image.
        max_pixels: Width times height of an image.
        max_pixels_in_flight: Pixels of all images that are decoded at the same time.
        max_persons: People per image; the ones with the best detection scores are kept.
        deadline_s: Seconds from a request's arrival in which it must be answered.
        slow_s: Requests slower than this many seconds are logged as warnings.
    """

    workers: int
    threads: int = 1
    max_in_flight: int = 128
    max_image_bytes: int = 32_000_000
    max_pixels: int = MAX_PIXELS
    max_pixels_in_flight: int = 100_000_000
    max_persons: int = 100
    deadline_s: float = 10
    slow_s: int = 3

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str], instances: int = 1) -> Limits:
        """Read limits of all instances from ``parameters`` of the pipeline's ``config.pbtxt``.

        ModelError: one is malformed.
        """
        cores = available_cores()
        chosen = {}
        for field in fields(cls):
            text = parameters.get(field.name, "AUTO")
            if text.upper() == "AUTO":
                continue
            if not re.fullmatch(r"[1-9]\d{0,8}", text, re.ASCII):
                raise ModelError(
                    f"the pipeline's parameter `{field.name}` must be a positive integer or AUTO, "
                    f"got {text!r}"
                )
            chosen[field.name] = int(text)
        most = chosen.get("max_in_flight", cls.max_in_flight)
        workers = min(default_workers(cores, instances), most)
        return replace(cls(workers=workers, threads=cores), **chosen)

    def share(self, instances: int) -> Limits:
        """Return the limits of one of several instances, which get the same number of requests.

        Workers and threads are divided, at least one each; the others hold for all instances
        together, or for a request.
        """
        return replace(
            self,
            workers=max(self.workers // instances, 1),
            threads=max(self.threads // instances, 1),
        )


class ComputeSlots:
    """Bounds the threads that compute, not counting threads that wait for a model. Thread-safe.

    Decoding many images at once on few cores thrashes the caches and delays all of them.
    """

    def __init__(self, cores: int) -> None:
        """Let as many threads compute at the same time as there are cores."""
        # A semaphore of `threading` is written in Python.
        self._free: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(cores):
            self._free.put(None)

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Wait until a slot is free, and hold it while the context lasts."""
        self._free.get()
        try:
            yield
        finally:
            self._free.put(None)

    @contextmanager
    def yielded(self) -> Iterator[None]:
        """Give the slot that this thread holds to others while the context lasts."""
        self._free.put(None)
        try:
            yield
        finally:
            self._free.get()


class PixelBudget:
    """Bounds the memory that decoded images take together, by their pixels. Thread-safe."""

    def __init__(self, pixels: int, usage: Usage | None = None) -> None:
        """Take the bound; a larger image waits until it is alone. None shares it with nobody."""
        self._limit = pixels
        self._usage = usage or Usage()
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, pixels: int, timeout: float) -> Iterator[None]:
        """Wait until an image fits, and count it while the context lasts.

        MemoryDeadlineError: it did not fit within ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while not self._usage.take(PIXELS, pixels, self._limit, alone=True):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise MemoryDeadlineError(
                        "no memory became free for an image of this size in time"
                    )
                # Other processes don't notify this one, so look again; after a random pause, so
                # that not all look at once.
                pause = random.uniform(*_PAUSES) if self._usage.is_shared else left  # noqa: S311
                self._changed.wait(min(left, pause))
        try:
            yield
        finally:
            with self._changed:
                self._usage.give_back(PIXELS, pixels)
                self._changed.notify_all()


def default_workers(cores: int, instances: int = 1) -> int:
    """Choose how many requests all instances work on at the same time, unless configured.

    Workers mostly wait for the models: enough of them keep models and cores busy.
    """
    return min(4 * cores, _MAX_AUTO_WORKERS * instances)
