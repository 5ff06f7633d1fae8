"""The tools' error."""

from __future__ import annotations

from tritonpose.errors import TritonPoseError


class ToolError(TritonPoseError):
    """A tool can't do its work; the message says in one line what is wrong."""
