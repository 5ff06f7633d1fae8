"""Renew what a process made by fork can't use: the threads, locks and connections of its parent.

DataLoader's workers, gunicorn's with ``--preload`` and Celery's begin as copies of a process, in
which none of its threads runs. Waiting for one would last forever, in spite of every timeout.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Renewable(Protocol):
    """What can be used again in a forked process."""

    def renew(self) -> None:
        """Drop what the parent's threads worked on, without closing the parent's connections."""


_living: WeakSet[Renewable] = WeakSet()
_left_behind: list[object] = []


def renew_in_children(thing: Renewable) -> None:
    """Renew an object in every process that is forked from this one, before it goes on."""
    _living.add(thing)


def leave_behind(thing: object) -> None:
    """Keep something of the parent's until the process ends.

    Its finalizer would act on sockets and poll sets that both processes share.
    """
    _left_behind.append(thing)


def _renew_all() -> None:
    for thing in list(_living):
        thing.renew()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_renew_all)
