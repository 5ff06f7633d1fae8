"""How fetching tells the user what it does."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from tritonpose_server.models.fetch.download import DownloadProgress


class FetchProgress(Protocol):
    """Shows what goes on."""

    def line(self, text: str) -> None:
        """Show a line of text."""

    def transfer(self, label: str) -> AbstractContextManager[DownloadProgress]:
        """Show one download, called ``label``, as long as the context lasts."""


class Silence:
    """Shows nothing."""

    def line(self, text: str) -> None:
        """Do nothing."""

    def transfer(self, label: str) -> AbstractContextManager[DownloadProgress]:  # noqa: ARG002
        """Do nothing."""
        return nullcontext(lambda _done, _total: None)
