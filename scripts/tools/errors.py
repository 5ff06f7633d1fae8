"""Errors of the tools; each message says in one line what is wrong."""

from __future__ import annotations

from tritonpose.errors import TritonPoseError


class ToolError(TritonPoseError):
    """A tool can't do its work."""


class BenchmarkError(ToolError):
    """The benchmark can't be run."""


class EvaluationError(ToolError):
    """The evaluation can't be run."""


class SoakError(ToolError):
    """The soak test can't be run."""
