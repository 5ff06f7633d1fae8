"""Errors of the embedded server."""

from __future__ import annotations

from tritonpose.errors import TritonPoseError


class ServerError(TritonPoseError):
    """The embedded server can't run; the message says why and what to do."""


class TritonNotInstalledError(ServerError):
    """No tritonserver fits this machine or this Python environment."""


class PortInUseError(ServerError):
    """A port the server should listen on is taken."""
