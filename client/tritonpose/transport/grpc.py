"""gRPC: one channel per server, shared by all threads or by all tasks of an event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tritonpose.errors import (
    ModelNotFoundError,
    ServerUnavailableError,
    TritonPoseError,
)
from tritonpose.forks import leave_behind, renew_in_children
from tritonpose.transport.connection import CONNECT_SECONDS
from tritonpose.transport.failures import MAX_ANSWER_BYTES, error_from_status, reading_answer
from tritonpose.transport.messages import MODEL_NAME, InferRequest, PoseResponse, trace_headers
from tritonpose.transport.wrong_ports import explain_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tritonpose.transport.connection import Connection

# A name with several addresses, such as that of a Kubernetes headless service, is served by all.
_SERVICE_CONFIG = '{"loadBalancingConfig": [{"round_robin": {}}]}'

_FORK_WAIT_SECONDS = 5.0

_CHANNEL_ARGUMENTS = [
    # A decoded 8K frame is 100 MB; gRPC's own limit is 4 MB.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    # Servers end connections now and then, so that clients look up others; a request that comes
    # too late for its connection goes over the next one, but only if it fits into this buffer.
    # gRPC's own size is 256 KiB; larger images would be lost.
    ("grpc.per_rpc_retry_buffer_size", 2**31 - 1),
    # gRPC waits between a second and two minutes before it tries a lost server again, and
    # answers for it meanwhile; our own pauses are shorter.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # Despite its name, how long making a connection may take; 20 seconds by default.
    ("grpc.min_reconnect_backoff_ms", int(CONNECT_SECONDS * 1000)),
    # Look up the servers soon after a connection was lost or ended: gRPC would wait for half a
    # minute, in which servers that were added get no requests.
    ("grpc.dns_min_time_between_resolutions_ms", 2000),
    # As over HTTP, $http_proxy doesn't stand between us and localhost.
    ("grpc.enable_http_proxy", 0),
    # Or a forked process would write to a connection of its parent.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.service_config", _SERVICE_CONFIG),
]


class _ForkGuard:
    """Keep gRPC, whose state is one per process, usable after a fork.

    It renews itself in the child if no thread of the parent is within it at that moment. So a fork
    waits for the requests in flight, and new ones for the fork. Where that doesn't help (`grpc.aio`
    has a thread within gRPC always, or the user's environment switched its renewal off) the child
    would hang or abort, so that using gRPC there is an error.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._calls = 0
        self._forks = 0
        self._used = self._asynchronous = self._broken = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before_fork,
                after_in_parent=self._after_fork,
                after_in_child=self._renew,
            )

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Let no fork happen while the context is active; TritonPoseError where no call works."""
        with self._changed:
            self._changed.wait_for(lambda: not self._forks)
            self._check()
            self._calls += 1
        try:
            yield
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    def use_asynchronously(self) -> None:
        """Note that `grpc.aio` is used; TritonPoseError where it would not work."""
        with self._changed:
            self._check()
            self._asynchronous = True

    def _check(self) -> None:
        if self._broken:
            raise TritonPoseError(
                "gRPC can't be used in this process: it was forked from one in which gRPC was at "
                "work. Use the pipeline in the forked processes only, give the server's http:// "
                "address, or start workers by spawn (multiprocessing_context='spawn')"
            )
        self._used = True

    def _before_fork(self) -> None:
        self._changed.acquire()
        self._forks += 1
        if not self._asynchronous:
            self._changed.wait_for(lambda: not self._calls, _FORK_WAIT_SECONDS)

    def _after_fork(self) -> None:
        self._forks -= 1
        self._changed.notify_all()
        self._changed.release()

    def _renew(self) -> None:
        switch = os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "1").lower()
        off = self._used and switch in ("0", "false", "no", "off")
        self._broken = self._broken or off or self._asynchronous or self._calls > 0
        self._calls = self._forks = 0
        self._changed = threading.Condition()


_GUARD = _ForkGuard()


class _GrpcCalls:
    """Keep what both kinds of servers (``host:port``) share: arguments of calls, and errors."""

    def __init__(self, address: str, connection: Connection) -> None:
        self._settings = (address, connection)
        self._made: Any = None
        self.url = connection.url_of(address)
        self._headers = connection.headers
        self._client_arguments: dict[str, Any] = {
            "url": address,
            "channel_args": _CHANNEL_ARGUMENTS,
        }
        if connection.tls is not None:
            self._client_arguments |= {
                "ssl": True,
                "root_certificates": connection.tls.ca_file,
                "certificate_chain": connection.tls.cert_file,
                "private_key": connection.tls.key_file,
            }

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._settings

    def _infer_arguments(self, request: InferRequest, timeout: float) -> dict[str, Any]:
        inputs = []
        for name, datatype, array in request.tensors():
            tensor = triton.InferInput(name, list(array.shape), datatype)
            tensor.set_data_from_numpy(array)
            inputs.append(tensor)
        return {
            "model_name": MODEL_NAME,
            "inputs": inputs,
            "request_id": request.request_id,
            "parameters": request.parameters(),
            "headers": {**self._headers, **trace_headers()},
            "client_timeout": timeout,
        }

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Raise tritonclient's errors as ours."""
        try:
            yield
        except InferenceServerException as error:
            message = self._settings[1].without_secrets(error.message() or "")
            raise error_from_status(error.status(), self.url, message) from None

    def _response(self, result: triton.InferResult) -> PoseResponse:
        with reading_answer(self.url):
            outputs = result.get_response().outputs
            # Neither of which tritonclient minds.
            if len({output.name for output in outputs}) < len(outputs):
                raise ValueError(f"two outputs of one name: {[output.name for output in outputs]}")
            if any(size < 0 for output in outputs for size in output.shape):
                raise ValueError(f"shapes {[tuple(output.shape) for output in outputs]}")
            return PoseResponse.from_outputs(result.as_numpy)


class GrpcServer(_GrpcCalls):
    """A connection to one server over gRPC. Safe to use from several threads."""

    def __init__(self, address: str, connection: Connection) -> None:
        super().__init__(address, connection)
        self._lock = threading.Lock()
        renew_in_children(self)

    def infer(self, request: InferRequest, timeout: float) -> PoseResponse:
        """Send a request once, within `timeout` seconds; raise what `Transport.infer` raises."""
        try:
            with self._failures(), _GUARD.calling():
                result = self._client().infer(**self._infer_arguments(request, timeout))
        except (ServerUnavailableError, ModelNotFoundError) as error:
            raise explain_port(error, self.url) from None
        return self._response(result)

    def close(self) -> None:
        """Close the channel."""
        if self._made is not None:
            with _GUARD.calling():
                self._made.close()

    def renew(self) -> None:
        """Connect again, in a forked process."""
        leave_behind(self._made)
        self._made = None
        self._lock = threading.Lock()

    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = triton.InferenceServerClient(**self._client_arguments)
            return self._made


class AsyncGrpcServer(_GrpcCalls):
    """The twin of `GrpcServer` for one event loop; connects with the first request."""

    async def infer(self, request: InferRequest, timeout: float) -> PoseResponse:
        """See `GrpcServer.infer`."""
        try:
            with self._failures():
                result = await self._client().infer(**self._infer_arguments(request, timeout))
        except (ServerUnavailableError, ModelNotFoundError) as error:
            raise await asyncio.to_thread(explain_port, error, self.url) from None
        return self._response(result)

    async def is_ready(self, timeout: float) -> bool:
        """Ask whether it serves the pipeline now, within `timeout` seconds."""
        try:
            ready = await self._client().is_model_ready(
                MODEL_NAME, headers=self._headers, client_timeout=timeout
            )
            return bool(ready)
        except InferenceServerException:
            return False

    async def close(self) -> None:
        """Close the channel, cancelling the requests in flight."""
        if self._made is not None:
            await self._made.close()

    def _client(self) -> Any:
        """Return the client, made at first use, as its channel belongs to the event loop."""
        if self._made is None:
            _GUARD.use_asynchronously()
            self._made = triton_aio.InferenceServerClient(**self._client_arguments)
        return self._made
