"""Errors of the benchmark."""

from __future__ import annotations


class BenchmarkError(Exception):
    """The benchmark can't be done; the message says why in one line."""
