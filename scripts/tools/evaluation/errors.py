"""Errors of the evaluation."""

from __future__ import annotations


class EvaluationError(Exception):
    """The evaluation can't be done; the message says why in one line."""
