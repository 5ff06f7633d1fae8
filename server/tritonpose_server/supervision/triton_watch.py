"""Notices that a running tritonserver has lost one of its Python processes, or hangs.

Each Python model has a process of its own, the stub. When one dies, tritonserver 2.51 still reports
the model as ready, but neither answers its requests nor restarts the stub.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Iterable
from dataclasses import dataclass

from tritonpose_server.supervision.hang_watch import HangWatch
from tritonpose_server.supervision.processes import (
    children,
    cpu_seconds,
    dead_children,
    ended_abruptly,
    model_of,
    stub_instance,
    waited_seconds,
)
from tritonpose_server.supervision.triton_api import TritonApi

_START_POLL_SECONDS = 0.2
_POLL_SECONDS = 0.5

# For Triton itself to end because a model can't be loaded; its message says more.
_FAILED_START_SECONDS = 5.0


@dataclass(frozen=True)
class WatchSettings:
    """How a tritonserver is watched; see `TritonApi` and `HangWatch`."""

    address: str
    hang_timeout: float


@dataclass(frozen=True)
class _Stub:
    """A stub process of a model's instance; the handle is a pidfd, readable once it has ended."""

    instance: str
    handle: int

    @property
    def model(self) -> str:
        return model_of(self.instance)


class TritonWatch:
    """Watches one tritonserver, a process.

    ``became_ready`` is when it was first seen ready, on the monotonic clock; None before.
    """

    def __init__(self, pid: int, settings: WatchSettings) -> None:
        self.became_ready: float | None = None
        self._pid = pid
        self._api = TritonApi(settings.address)
        self._hang_watch = HangWatch(
            self._api, self._effort, lambda: waited_seconds(pid), settings.hang_timeout
        )
        self._stubs: dict[int, _Stub] = {}
        self._dead_since: float | None = None

    @property
    def poll_seconds(self) -> float:
        """Longest pause between two calls of `fault` while no handle is readable."""
        if self.became_ready is None:
            return _START_POLL_SECONDS
        return min(_POLL_SECONDS, self._hang_watch.pause)

    @property
    def handles(self) -> Iterable[int]:
        """Descriptors that become readable when there is something for `fault` to find."""
        if self.became_ready is None:
            return []
        return [stub.handle for stub in self._stubs.values()]

    def fault(self) -> str | None:
        """Return what is wrong with the server, None if nothing is or it is still starting."""
        if self.became_ready is None:
            self._scan()
            if not self._api.is_ready():
                return self._death_at_start()
            self.became_ready = time.monotonic()
        return self._death() or self._hang_watch.fault()

    def stop_probing(self) -> None:
        """Close the connections to the server."""
        self._hang_watch.close()

    def count_stubs(self) -> int:
        """Return how many processes of models the server has left."""
        self._pop_ended()
        if not self._stubs:
            self._scan()
        return len(self._stubs)

    def close(self) -> None:
        """Release all that watches the server, connections to it included."""
        self._hang_watch.close()
        for stub in self._stubs.values():
            os.close(stub.handle)
        self._stubs.clear()

    def _effort(self, model: str) -> float:
        """Return the seconds for which the processes of a model computed, or waited for a core."""
        if all(stub.model != model for stub in self._stubs.values()):
            # Loaded since the last scan.
            self._scan()
        pids = [pid for pid, stub in self._stubs.items() if stub.model == model]
        return sum(cpu_seconds(pid) + waited_seconds(pid) for pid in pids)

    def _death(self) -> str | None:
        for stub in self._pop_ended():
            # A model that is unloaded ends its stub, too; one that is reloaded has another.
            self._scan()
            living = {other.instance for other in self._stubs.values()}
            # If the server does not answer, this was no orderly unload.
            if stub.instance not in living and not self._api.has_unloaded(stub.model):
                return f"the process of model {stub.model} has died"
        return None

    def _death_at_start(self) -> str | None:
        """Notice a death for which tritonserver would wait without end."""
        dead = dead_children(self._pid)
        if not dead:
            self._dead_since = None
            return None
        self._dead_since = self._dead_since or time.monotonic()
        waited = time.monotonic() - self._dead_since
        if waited < _FAILED_START_SECONDS and not any(map(ended_abruptly, dead)):
            return None
        # One that dies very soon is not known by name.
        names = [self._stubs[pid].model for pid in dead if pid in self._stubs]
        whose = f"the process of model {names[0]}" if names else "the process of a model"
        return f"{whose} has died while the server was starting"

    def _pop_ended(self) -> list[_Stub]:
        pids = {stub.handle: pid for pid, stub in self._stubs.items()}
        ended, _, _ = select.select(list(pids), [], [], 0)
        stubs = [self._stubs.pop(pids[handle]) for handle in ended]
        for stub in stubs:
            os.close(stub.handle)
        return stubs

    def _scan(self) -> None:
        """Find stubs that were not known yet."""
        for pid in children(self._pid):
            instance = None if pid in self._stubs else stub_instance(pid)
            if instance is not None:
                # It may have ended since.
                with contextlib.suppress(OSError):
                    self._stubs[pid] = _Stub(instance, os.pidfd_open(pid))
