"""End a command by a signal, and let it finish its files."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Windows lacks the last one.
_ENDINGS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


@contextmanager
def ending_by_signals() -> Iterator[None]:
    """Take SIGTERM and SIGHUP for Ctrl-C while the context is active, in the main thread."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with _handled_by(interrupt):
        yield


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Pass over the same signals while the context is active, in the main thread."""
    with _handled_by(signal.SIG_IGN):
        yield


@contextmanager
def _handled_by(handler: Callable[..., Any] | signal.Handlers) -> Iterator[None]:
    before = {each: signal.signal(each, handler) for each in _ENDINGS}
    try:
        yield
    finally:
        for each, handled in before.items():
            signal.signal(each, handled)
