"""How many threads compute at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tritonpose_pipeline.limits import ComputeSlots


def test_only_so_many_threads_are_inside() -> None:
    slots = ComputeSlots(2)
    full = threading.Barrier(3)
    release = threading.Event()
    third_came_in = threading.Event()

    def occupy() -> None:
        with slots.acquire():
            full.wait(10)
            release.wait(10)

    def third() -> None:
        with slots.acquire():
            third_came_in.set()

    with ThreadPoolExecutor(3) as pool:
        occupants = [pool.submit(occupy) for _ in range(2)]
        full.wait(10)
        last = pool.submit(third)
        came_early = third_came_in.wait(0.1)
        release.set()
        for future in (*occupants, last):
            future.result(10)
    assert not came_early
    assert third_came_in.is_set()


def test_who_waits_for_a_model_lets_another_in() -> None:
    slots = ComputeSlots(1)
    came_in = threading.Event()

    def other() -> None:
        with slots.acquire():
            came_in.set()

    with ThreadPoolExecutor(1) as pool, slots.acquire():
        future = pool.submit(other)
        with slots.yielded():
            assert came_in.wait(10)
        future.result(10)


def test_a_core_is_free_again_after_failures() -> None:
    slots = ComputeSlots(1)
    with pytest.raises(RuntimeError, match="model"), slots.acquire(), slots.yielded():
        raise RuntimeError("model")
    with slots.acquire():
        pass
