"""Memory that is freed between two images."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tritonpose_pipeline.memory import keep_freed_memory, release_freed_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory")

# In a process of its own, as the settings are the process's.
IMAGES = """
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tritonpose_pipeline.memory import keep_freed_memory, release_freed_memory

def image():
    np.ones(6_000_000, np.uint8)

def faults(pool, images):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(images):
        pool.submit(image).result()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

KEEP
with ThreadPoolExecutor(1) as pool:
    faults(pool, 3)
    print(faults(pool, 10))
    kept = resident()
    release_freed_memory()
    print(kept - resident())
"""


def run(keep: str) -> tuple[int, int]:
    """Return the page faults of ten images of six megabytes, and the bytes given back then."""
    code = IMAGES.replace("KEEP", keep)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    faults, released = map(int, done.stdout.split())
    return faults, released


def test_the_next_image_takes_the_memory_of_the_last() -> None:
    faults, released = run("keep_freed_memory()")
    # An image has 1465 pages.
    assert faults < 100
    assert released > 5_000_000


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    keep_freed_memory()
    release_freed_memory()
