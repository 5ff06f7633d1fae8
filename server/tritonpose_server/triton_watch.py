"""Notices that a running tritonserver has lost one of its Python processes.

Each Python model has a process of its own, the stub. Where one dies, tritonserver 2.51 goes on
calling the model ready, but neither answers its requests nor starts the stub anew.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import time
from dataclasses import dataclass

from tritonpose_server.processes import children, model_of, stub_instance

_RESCAN_SECONDS = 1.0
_REQUEST_SECONDS = 2.0


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

    def __init__(self, pid: int, address: str) -> None:
        """Watch a server.

        Args:
            pid: Its process.
            address: Its HTTP endpoint, ``host:port``.
        """
        self.became_ready: float | None = None
        self._pid = pid
        self._address = address
        self._stubs: dict[int, _Stub] = {}
        self._next_scan = 0.0

    def fault(self) -> str | None:
        """What is wrong with the server; None while nothing is, or it is still starting."""
        if self.became_ready is None:
            if self._status("GET", "/v2/health/ready") != http.HTTPStatus.OK:
                return None
            self.became_ready = time.monotonic()
        if time.monotonic() >= self._next_scan:
            self._scan()
        for pid in self._ended():
            stub = self._stubs.pop(pid)
            os.close(stub.handle)
            # A model that is unloaded ends its stub, too; one that is loaded anew has another.
            self._scan()
            living = {other.instance for other in self._stubs.values()}
            if stub.instance not in living and self._is_ready(stub.model):
                return f"the process of model {stub.model} has died"
        return None

    def close(self) -> None:
        """Forget the server."""
        for stub in self._stubs.values():
            os.close(stub.handle)
        self._stubs.clear()

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

    def _is_ready(self, model: str) -> bool:
        """Whether Triton calls a model ready; so does silence, where it can't be asked."""
        try:
            models = json.loads(self._request("POST", "/v2/repository/index")[1])
        except (OSError, http.client.HTTPException, ValueError):
            return True
        return any(entry.get("name") == model and entry.get("state") == "READY" for entry in models)

    def _status(self, method: str, path: str) -> int | None:
        try:
            return self._request(method, path)[0]
        except (OSError, http.client.HTTPException):
            return None

    def _request(self, method: str, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._address, timeout=_REQUEST_SECONDS)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
