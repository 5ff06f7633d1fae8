"""Processes and those below them, and the memory they take."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import psutil


def process_tree(roots: Iterable[int]) -> list[int]:
    """Processes and all below them; those that have ended are left out."""
    found: dict[int, None] = {}
    for root in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(root)
            found.update(dict.fromkeys([root, *(p.pid for p in process.children(recursive=True))]))
    return list(found)


def resident_bytes(roots: Iterable[int]) -> int:
    """Memory of process trees: the sum of their proportional set sizes (shared pages divided)."""
    total = 0
    for pid in process_tree(roots):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += psutil.Process(pid).memory_full_info().pss
    return total
