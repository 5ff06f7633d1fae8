"""Shows fetching on a stream: as bars on a terminal, as plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TextIO

from tqdm import tqdm

from tritonpose_server.models.fetch.download import DownloadProgress


class StreamProgress:
    """A `FetchProgress` that writes to a stream."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Name the stream; default: standard error."""
        self._stream = stream or sys.stderr

    def line(self, text: str) -> None:
        """Write a line of text."""
        print(text, file=self._stream, flush=True)

    def transfer(self, label: str) -> AbstractContextManager[DownloadProgress]:
        """Show a download, from its first bytes on.

        Args:
            label: What to call it.
        """
        return self._bar(label) if self._stream.isatty() else self._lines(label)

    @contextmanager
    def _bar(self, label: str) -> Iterator[DownloadProgress]:
        bar: tqdm[Any] | None = None

        def advance(done: int, total: int | None) -> None:
            nonlocal bar
            if bar is None:
                bar = tqdm(
                    desc=label,
                    total=total,
                    unit="B",
                    unit_scale=True,
                    unit_divisor=1000,
                    file=self._stream,
                )
            bar.total = total
            bar.update(done - bar.n)

        try:
            yield advance
        finally:
            if bar is not None:
                bar.close()

    @contextmanager
    def _lines(self, label: str) -> Iterator[DownloadProgress]:
        began = time.monotonic()
        size = 0

        def advance(done: int, total: int | None) -> None:
            nonlocal size
            if size == 0:
                self.line(f"{label}: {_megabytes(total)}")
            size = done

        yield advance
        self.line(f"{label}: done, {_megabytes(size)} in {time.monotonic() - began:.1f} s")


def _megabytes(size: int | None) -> str:
    return "size unknown" if size is None else f"{size / 1e6:.1f} MB"
