"""Memory that a process has freed: kept for the next image, given back when there is none.

By itself, glibc gives a decoded image's memory back to the kernel as soon as it is freed, and the
kernel clears each page again for the next image: a third of the pipeline's processor time.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any

# Of `mallopt`, as <malloc.h> numbers them.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8

# Larger blocks, of images beyond five megapixels, are given back at once: decoding them takes
# longer than clearing memory for them.
_LARGEST_KEPT = 2**24
_MOST_KEPT = 2**27


def keep_freed_memory() -> None:
    """Keep freed memory for the next image, of whatever thread; Linux with glibc only."""
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        libc.mallopt(_TRIM_THRESHOLD, _MOST_KEPT)
        # By default, threads have places of their own, of which `malloc_trim` gives nothing back.
        libc.mallopt(_ARENA_MAX, 1)


def release_freed_memory() -> None:
    """Give the memory back that was kept; Linux with glibc only."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> Any:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
