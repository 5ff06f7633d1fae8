"""Errors of the soak test."""

from __future__ import annotations


class SoakError(Exception):
    """The test can't be done; the message says why in one line."""
