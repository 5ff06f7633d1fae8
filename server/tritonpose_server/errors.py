"""Errors of the embedded server."""

from __future__ import annotations

from tritonpose.errors import ServerError


class EmbeddedServerError(ServerError):
    """The embedded server can't run; the message says why and what to do."""


class TritonNotInstalledError(EmbeddedServerError):
    """No tritonserver fits this machine or this Python environment."""


class PortInUseError(EmbeddedServerError):
    """A port the server should listen on is taken."""
