"""Show on standard error how much is done."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from tritonpose.cli.console import is_quiet

if TYPE_CHECKING:
    from tqdm import tqdm


class ProgressBar:
    """A progress bar of images or other units, drawn from the first `show` on.

    Nothing is drawn where standard error isn't a terminal, or where tqdm is not installed (the
    client alone does not bring it).
    """

    def __init__(self, *, hidden: bool = False, unit: str = "image") -> None:
        self._unit = unit
        self._hidden = hidden or is_quiet() or not sys.stderr.isatty()
        self._bar: tqdm[Any] | None = None

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, done: int, total: int | None = None, **counts: int) -> None:
        """Show how many are done, of how many (None: unknown), and further counts.

        The speed is that since the first call.
        """
        if self._bar is None and not self._hidden:
            self._bar = _make_bar(done, self._unit)
            self._hidden = self._bar is None
        if self._bar is not None:
            self._bar.total = total
            self._bar.set_postfix(counts, refresh=False)
            self._bar.update(done - self._bar.n)

    def cleared(self) -> AbstractContextManager[object]:
        """Clear the bar while the context is active, to print lines."""
        if self._bar is None:
            return nullcontext()
        return type(self._bar).external_write_mode(file=sys.stderr)


def _make_bar(done: int, unit: str) -> tqdm[Any] | None:
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return None
    return tqdm(unit=unit, initial=done, file=sys.stderr, dynamic_ncols=True)
