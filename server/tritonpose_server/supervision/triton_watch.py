"""Notices that a running tritonserver has lost one of its Python processes, or hangs.

Each Python model has a process of its own, the stub. Where one dies, tritonserver 2.51 goes on
calling the model ready, but neither answers its requests nor starts the stub anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import time
from dataclasses import asdict, dataclass

from tritonpose_server.supervision.hang_watch import HangWatch
from tritonpose_server.supervision.processes import children, cpu_seconds, model_of, stub_instance
from tritonpose_server.supervision.triton_api import TritonApi

_RESCAN_SECONDS = 1.0


@dataclass(frozen=True)
class WatchSettings:
    """How a tritonserver is watched.

    Attributes:
        address: Its HTTP endpoint, ``host:port``.
        control_key: What opens its control endpoints.
        hang_timeout: Seconds without an answer after which it, or a model of it, hangs.
    """

    address: str
    control_key: str
    hang_timeout: float

    def to_json(self) -> str:
        """The settings as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> WatchSettings:
        """Settings from such text."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class _Stub:
    """A stub process.

    Attributes:
        instance: Name of the model's instance that it runs.
        handle: Its pidfd, readable once it has ended.
    """

    instance: str
    handle: int

    @property
    def model(self) -> str:
        return model_of(self.instance)


class TritonWatch:
    """Watches one tritonserver.

    Attributes:
        became_ready: When it was first seen ready, on the monotonic clock; None before.
    """

    def __init__(self, pid: int, settings: WatchSettings) -> None:
        """Watch a server.

        Args:
            pid: Its process.
            settings: How to watch it.
        """
        self.became_ready: float | None = None
        self._pid = pid
        self._api = TritonApi(settings.address, settings.control_key)
        self._hang_watch = HangWatch(self._api, self._cpu_seconds, settings.hang_timeout)
        self._stubs: dict[int, _Stub] = {}
        self._next_scan = 0.0

    def fault(self) -> str | None:
        """What is wrong with the server; None while nothing is, or it is still starting."""
        if self.became_ready is None:
            if not self._api.is_ready():
                return None
            self.became_ready = time.monotonic()
        if time.monotonic() >= self._next_scan:
            self._scan()
        return self._death() or self._hang_watch.fault()

    def close(self) -> None:
        """Forget the server."""
        self._hang_watch.close()
        for stub in self._stubs.values():
            os.close(stub.handle)
        self._stubs.clear()

    def _cpu_seconds(self, model: str) -> float:
        return sum(cpu_seconds(pid) for pid, stub in self._stubs.items() if stub.model == model)

    def _death(self) -> str | None:
        for pid in self._ended():
            stub = self._stubs.pop(pid)
            os.close(stub.handle)
            # A model that is unloaded ends its stub, too; one that is loaded anew has another.
            self._scan()
            living = {other.instance for other in self._stubs.values()}
            ready = self._api.ready_models()
            # A server that can't be asked has not unloaded anything in a good way.
            if stub.instance not in living and (ready is None or stub.model in ready):
                return f"the process of model {stub.model} has died"
        return None

    def _ended(self) -> list[int]:
        handles = {stub.handle: pid for pid, stub in self._stubs.items()}
        readable, _, _ = select.select(list(handles), [], [], 0)
        return [handles[handle] for handle in readable]

    def _scan(self) -> None:
        """Find stubs that were not known yet."""
        self._next_scan = time.monotonic() + _RESCAN_SECONDS
        for pid in children(self._pid):
            instance = None if pid in self._stubs else stub_instance(pid)
            if instance is not None:
                # It may have ended since.
                with contextlib.suppress(OSError):
                    self._stubs[pid] = _Stub(instance, os.pidfd_open(pid))
