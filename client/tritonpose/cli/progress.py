"""Show progress on standard error: one bar for all commands."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm


class ProgressBar:
    """A progress bar, drawn from the first `show` on.

    Nothing is drawn where the stream is no terminal, or where tqdm is not installed (the client
    alone does not bring it).

    Args:
        unit: The thing counted; "B" counts bytes and writes them as kB, MB, ...
        label: Text in front of the bar.
        stream: Where to draw; default: standard error.
        hidden: Draw nothing.
    """

    def __init__(
        self,
        unit: str,
        *,
        label: str | None = None,
        stream: TextIO | None = None,
        hidden: bool = False,
    ) -> None:
        self._unit = unit
        self._label = label
        self._stream = stream or sys.stderr
        self._hidden = hidden or not self._stream.isatty()
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, done: int, total: int | None = None, **counts: int) -> None:
        """Show how far the work is.

        Args:
            done: How much of it is done. The speed is that since the first call.
            total: How much there is in all; None where that is unknown.
            counts: Further numbers, shown behind the bar.
        """
        if self._bar is None and not self._hidden:
            self._bar = self._make_bar(done, total)
            self._hidden = self._bar is None
        if self._bar is not None:
            self._bar.total = total
            self._bar.set_postfix(counts, refresh=False)
            self._bar.update(done - self._bar.n)

    def cleared(self) -> AbstractContextManager[object]:
        """Clear the bar while the context is active, to print lines."""
        if self._bar is None:
            return nullcontext()
        return type(self._bar).external_write_mode(file=self._stream)

    def _make_bar(self, done: int, total: int | None) -> tqdm[Any] | None:
        try:
            from tqdm import tqdm
        except ModuleNotFoundError:
            return None
        return tqdm(
            desc=self._label,
            initial=done,
            total=total,
            unit=self._unit,
            unit_scale=self._unit == "B",
            file=self._stream,
            dynamic_ncols=True,
        )
