"""The pipeline's side of Triton: answers to requests, and calls of composing models.

Triton's Python API, ``triton_python_backend_utils``, exists only inside the processes that Triton
starts: it is passed in as ``pb_utils``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
import traceback
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tritonpose_pipeline.errors import (
    BadRequestError,
    CancelledError,
    DeadlineError,
    ModelFailedError,
    ModelUnavailableError,
    RequestError,
    ShuttingDownError,
    TooManyRequestsError,
    UnavailableError,
    format_error,
)
from tritonpose_pipeline.limits import ComputeSlots
from tritonpose_pipeline.telemetry.spans import Spans
from tritonpose_pipeline.usage import REQUESTS, Usage

_DRAIN_FILE = "TRITONPOSE_DRAIN_FILE"

# In Triton's errors of models that are ready by its own account: the server stops, or the model's
# process has died and is not replaced yet. Between models Triton hands on no status.
_STOPPING = "Server is stopping"
_LOST_PROCESS = "is not healthy"

_LONGEST_ID = 128

# Between two looks whether the server shuts down, while requests are in flight.
_LOOK_SECONDS = 0.01


def drain_file() -> str | None:
    """Return the path of the file that exists once the launcher shuts the server down."""
    return os.environ.get(_DRAIN_FILE)


def shutting_down() -> bool:
    """Check whether the file that `$TRITONPOSE_DRAIN_FILE` names exists.

    Triton 2.51 itself goes on accepting gRPC requests while it waits for those in flight, so that
    under load it would never end.
    """
    path = drain_file()
    return path is not None and os.path.exists(path)  # noqa: PTH110 - a microsecond, not five


class Admission:
    """Admits a limited number of requests, and holds a lock while any is in flight. Thread-safe.

    Triton 2.51 stops the composing models while requests of the pipeline still need them. So the
    process that ends it first waits for this lock, on a file beside `$TRITONPOSE_DRAIN_FILE`.
    """

    def __init__(self, limit: int, usage: Usage | None = None) -> None:
        """Admit at most `limit` requests at a time, with those of other instances in `usage`."""
        self._limit = limit
        self._usage = usage or Usage()
        self._in_flight = 0
        self._look_again = 0.0
        self._changed = threading.Condition()
        self._file: int | None = None
        path = drain_file()
        if path is not None:
            with contextlib.suppress(OSError):
                self._file = os.open(f"{path}.busy", os.O_RDWR | os.O_CREAT, 0o600)

    def acquire(self) -> None:
        """Admit a request; raise ShuttingDownError or TooManyRequestsError for another."""
        with self._changed:
            # Under load not at every request: who looks gives other threads the turn.
            now = time.monotonic()
            if not self._in_flight or now >= self._look_again:
                self._look_again = now + _LOOK_SECONDS
                if shutting_down():
                    self._look_again = 0.0
                    raise ShuttingDownError("the server is shutting down")
            if not self._usage.take(REQUESTS, 1, self._limit):
                raise TooManyRequestsError(
                    f"{self._limit} requests (max_in_flight) are already in flight"
                )
            self._in_flight += 1
            if self._in_flight == 1 and self._file is not None:
                fcntl.flock(self._file, fcntl.LOCK_SH)

    def release(self) -> None:
        """End an admitted request."""
        with self._changed:
            self._in_flight -= 1
            self._changed.notify()
            self._usage.give_back(REQUESTS, 1)
            if not self._in_flight and self._file is not None:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def leave_to_others(self, workers: int, instances: int) -> None:
        """Wait while this instance has a request for each worker, and more than its share of all.

        Triton gives requests to whichever instance takes them: of many at once, one instance alone
        could get most.
        """
        with self._changed:
            while self._in_flight >= workers and self._in_flight * instances > self._usage.together(
                REQUESTS
            ):
                # Other processes don't notify this one.
                self._changed.wait(_LOOK_SECONDS)


def take_input(pb_utils: Any, request: Any, name: str) -> npt.NDArray[Any] | None:
    """Return an input of a request, copied unless Triton has done that.

    Triton frees a request's memory when ``execute`` returns.
    """
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    if tensor is None:
        return None
    array: npt.NDArray[Any] = tensor.as_numpy()
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    return array if owner.flags.owndata else array.copy()


class Responder:
    """Sends the one response of a request, and logs requests that are refused, slow or fail.

    `is_cancelled` asks Triton whether the client has given up.
    """

    def __init__(self, pb_utils: Any, request: Any, slow_seconds: float) -> None:
        """Take the sender of a request of Triton's; a response that is slower is logged."""
        self._pb = pb_utils
        self._request_id: str = request.request_id()
        self._arrival = time.monotonic()
        self._slow_seconds = slow_seconds
        self._sender = request.get_response_sender()
        self.is_cancelled = self._sender.is_cancelled

    def send(self, outputs: Mapping[str, npt.NDArray[Any]]) -> None:
        """Send the outputs, by name."""
        tensors = [
            self._pb.Tensor(name, np.ascontiguousarray(value)) for name, value in outputs.items()
        ]
        self._respond(self._pb.InferenceResponse(tensors))

    def send_error(self, error: Exception) -> None:
        """Send an error, with the status of Triton that tells the client what it can do."""
        kinds = self._pb.TritonError
        statuses: dict[type[Exception], int] = {
            BadRequestError: kinds.INVALID_ARG,
            UnavailableError: kinds.UNAVAILABLE,
            # Triton has no status of its own for deadlines.
            DeadlineError: kinds.UNAVAILABLE,
            CancelledError: kinds.CANCELLED,
        }
        status = next((statuses[kind] for kind in statuses if isinstance(error, kind)), None)
        if status is None:
            status = kinds.INTERNAL
            details = "".join(traceback.format_exception(error))
            self._pb.Logger.log_error(f"{self._log_line('failed')}\n{details}")
            if not isinstance(error, RequestError):
                error = RuntimeError(f"internal error: {type(error).__name__}: {error}")
        else:
            # Not a warning: how many of these there are is up to clients.
            self._pb.Logger.log_info(self._log_line("refused", str(error)))
        self._respond(
            self._pb.InferenceResponse(error=self._pb.TritonError(format_error(error), status))
        )

    def _respond(self, response: Any) -> None:
        self._sender.send(response, flags=self._pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        if time.monotonic() - self._arrival > self._slow_seconds:
            self._pb.Logger.log_warn(self._log_line("answered slowly"))

    def _log_line(self, outcome: str, reason: str = "") -> str:
        return format_log_line(self._request_id, outcome, time.monotonic() - self._arrival, reason)


def format_log_line(request_id: str, outcome: str, seconds: float, reason: str = "") -> str:
    """Describe in one line how a request ended, whatever its client has put into its id.

    It has no characters that a terminal or a log reader could take for more.
    """
    suffix = f": {reason}" if reason else ""
    text = f"request_id={request_id[:_LONGEST_ID] or '-'} {outcome} after {seconds:.3f} s{suffix}"
    return "".join(character if character.isprintable() else "?" for character in text)


class ModelCaller:
    """Runs composing models through Triton, and loads them when they are first used. Thread-safe.

    It is what the pipeline takes as ``RunModel``.
    """

    def __init__(self, pb_utils: Any, slots: ComputeSlots, spans: Spans) -> None:
        """Prepare to call models; the context of ``spans`` goes along with the calls.

        The slot of a calling thread is given to others while it waits for a model.
        """
        self._pb = pb_utils
        self._slots = slots
        self._spans = spans
        self._loading = threading.Lock()
        # How many times models have been loaded here.
        self._loads = 0

    def __call__(
        self, model: str, images: npt.NDArray[np.uint8], outputs: tuple[str, ...]
    ) -> list[npt.NDArray[np.float32]]:
        """Run ``model`` on ``images`` (see ``RunModel``).

        ShuttingDownError: Triton is stopping. ModelUnavailableError: the model can't be loaded, or
        has lost its process. ModelFailedError: it is ready and failed.
        """
        with self._slots.yielded():
            loads = self._loads
            response = self._run(model, images, outputs)
            if response.has_error():
                error = _error_of(model, response.error().message())
                if isinstance(error, ShuttingDownError) or not self._became_ready(model, loads):
                    raise error
                response = self._run(model, images, outputs)
        if response.has_error():
            raise _error_of(model, response.error().message())
        return [self._pb.get_output_tensor_by_name(response, name).as_numpy() for name in outputs]

    def _run(self, model: str, images: npt.NDArray[np.uint8], outputs: tuple[str, ...]) -> Any:
        return self._pb.InferenceRequest(
            model_name=model,
            requested_output_names=list(outputs),
            inputs=[self._pb.Tensor("image", np.ascontiguousarray(images))],
            parameters=self._spans.context(),
        ).exec()

    def _became_ready(self, model: str, loads: int) -> bool:
        """Load a model that answered with an error, if it is not ready; or ModelUnavailableError.

        Returns whether it was not ready after ``loads`` loads and is now; else the error is the
        model's own.
        """
        with self._loading:
            if self._pb.is_model_ready(model_name=model):
                # Another thread may have loaded it since the call.
                return self._loads != loads
            # Rare, and it takes seconds: the log explains the wait.
            self._pb.Logger.log_warn(f"loading model {model}, which a request waits for")
            try:
                self._pb.load_model(model_name=model)
            except self._pb.TritonModelException as error:
                raise ModelUnavailableError(f"model {model!r} can't be loaded: {error}") from error
            self._loads += 1
            return True


def _error_of(model: str, message: str) -> RequestError:
    """Classify the error that a model answered with, as far as Triton's own words show it."""
    if shutting_down() or _STOPPING in message:
        return ShuttingDownError("the server is shutting down")
    if _LOST_PROCESS in message:
        return ModelUnavailableError(f"model {model!r} has lost its process")
    return ModelFailedError(f"model {model!r}: {message}")
