"""Errors of model conversion."""

from __future__ import annotations


class ConversionError(Exception):
    """A model can't be made servable; the message says what does not fit and what to do."""
