"""Errors of fetching and converting models."""

from __future__ import annotations

from tritonpose.errors import TritonPoseError


class ConversionError(TritonPoseError):
    """A model can't be made servable; the message says what does not fit and what to do."""


class FetchError(TritonPoseError):
    """Something could not be fetched, or is not what was expected; the message says what to do."""


class HomeError(TritonPoseError):
    """The directory of models can't be used; the message says why and how to name another."""
