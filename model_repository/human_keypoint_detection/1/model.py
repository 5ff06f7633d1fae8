"""Triton model ``human_keypoint_detection``: a thin adapter around ``tritonpose_pipeline``.

``execute`` only accepts requests: each is worked on in a thread pool, calls the models
through Triton (BLS) and sends its own response, so that requests overlap and the models see
them all at once.
"""

from __future__ import annotations

import json
import os
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

from tritonpose_pipeline.core_gate import CoreGate
from tritonpose_pipeline.drain import shutting_down
from tritonpose_pipeline.errors import (
    BadRequestError,
    CancelledError,
    DeadlineError,
    ModelUnavailableError,
    RequestError,
    ShuttingDownError,
    TooManyRequestsError,
    UnavailableError,
    format_error,
)
from tritonpose_pipeline.image import copy_file
from tritonpose_pipeline.limits import Limits
from tritonpose_pipeline.pipeline import Poses, estimate_poses
from tritonpose_pipeline.pixel_budget import PixelBudget
from tritonpose_pipeline.repository import ModelRepository
from tritonpose_pipeline.request import PoseRequest
from tritonpose_pipeline.request_log import line
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_pipeline.stages import Stages
from tritonpose_pipeline.telemetry.counts import PipelineCounts
from tritonpose_pipeline.telemetry.otel import TracingNotInstalledError
from tritonpose_pipeline.telemetry.spans import Spans, pop_context
from tritonpose_pipeline.telemetry.triton_metrics import TritonMetrics

MODEL_NAME = "human_keypoint_detection"

_loading = threading.Lock()

# Hardly anybody hangs up sooner, and asking Triton takes half a millisecond.
_PATIENCE_SECONDS = 0.05


class TritonPythonModel:
    """Entry point for Triton."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Read the pipeline's configuration.

        Args:
            args: Triton's arguments (model configuration, repository, version).
        """
        config = json.loads(args["model_config"])
        parameters = {
            key: value["string_value"] for key, value in config.get("parameters", {}).items()
        }
        self._settings = PipelineSettings.from_parameters(parameters)
        # Beside the pipeline, and wherever the launcher says.
        extra = json.loads(parameters.get("model_repositories", "[]"))
        self._repository = ModelRepository(
            Path(args["model_repository"]).parent, *(Path(directory) for directory in extra)
        )
        self._limits = limits = Limits.from_parameters(parameters)
        self._slots = threading.BoundedSemaphore(limits.max_in_flight)
        self._budget = PixelBudget(limits.max_pixels_in_flight)
        self._gate = CoreGate(limits.threads)
        self._pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="pose")
        self._counts = PipelineCounts()
        self._metrics = TritonMetrics(pb_utils, self._counts)
        self._spans = _prepare_spans()
        # Requests run side by side, one thread each.
        cv2.setNumThreads(1)
        # What is wrong with an image is told to its sender; the log is not the sender's to fill.
        cv2.setLogLevel(0)

    def execute(self, requests: Sequence[Any]) -> None:
        """Accept requests, or refuse them at once when too many are under way."""
        for request in requests:
            sender = _Sender(request, self._limits.slow_s)
            if shutting_down():
                self._refuse(sender, ShuttingDownError("the server is shutting down"))
                continue
            if not self._slots.acquire(blocking=False):
                self._refuse(
                    sender,
                    TooManyRequestsError(
                        f"{self._limits.max_in_flight} requests (max_in_flight) are already in "
                        "flight"
                    ),
                )
                continue
            try:
                # Triton frees a request's memory when execute returns: inputs are copied here.
                parameters = json.loads(request.parameters() or "{}")
                context = pop_context(parameters)
                image = pb_utils.get_input_tensor_by_name(request, "image")
                pose_request = PoseRequest(
                    image=None if image is None else copy_file(image.as_numpy(), self._limits),
                    frame=_copy_input(request, "frame"),
                    det_threshold=_copy_input(request, "det_threshold"),
                    person_boxes=_copy_input(request, "person_boxes"),
                    parameters=parameters,
                )
                self._counts.begun()
                self._pool.submit(
                    self._serve, pose_request, sender, time.perf_counter_ns(), context
                )
            except Exception as error:
                self._slots.release()
                self._refuse(sender, error)

    def finalize(self) -> None:
        """Finish the requests under way."""
        self._pool.shutdown()
        self._metrics.close()
        self._spans.close()

    def _refuse(self, sender: _Sender, error: Exception) -> None:
        self._counts.refused(error)
        _send_error(sender, error)

    def _serve(
        self, request: PoseRequest, sender: _Sender, arrival: int, context: Mapping[str, str]
    ) -> None:
        """Answer a request and tell of it.

        Args:
            request: The request.
            sender: The sender of its response.
            arrival: When it came, in ns of ``time.perf_counter_ns``.
            context: The trace context that came with it.
        """
        with self._spans.request(MODEL_NAME, context, arrival) as stages:
            stages.came("queue", arrival)
            try:
                poses = self._estimate(request, sender, arrival / 1e9, stages)
                with stages("respond"):
                    sender.send(pb_utils.InferenceResponse(_tensors(poses)))
                self._counts.over(stages.over, len(poses.boxes))
            except Exception as error:
                self._counts.failed(stages.over, error)
                _send_error(sender, error)
            finally:
                self._slots.release()

    def _estimate(
        self, request: PoseRequest, sender: _Sender, arrival: float, stages: Stages
    ) -> Poses:
        """Work on a request; ``arrival`` is in seconds of ``time.perf_counter``."""
        deadline = arrival + self._limits.deadline_s

        def checkpoint() -> None:
            now = time.perf_counter()
            if now > arrival + _PATIENCE_SECONDS and sender.is_cancelled():
                raise CancelledError("the client cancelled the request")
            if now > deadline:
                raise DeadlineError(
                    f"the answer was not ready within {self._limits.deadline_s} s (deadline_s)"
                )

        checkpoint()
        with stages("options"):
            options = request.resolve_options(self._settings, self._repository)
            given = request.given_persons(self._limits)
        with stages("check"):
            pixels = request.check_image(self._limits)
        with ExitStack() as held:
            with stages("memory"):
                held.enter_context(self._budget.hold(pixels, deadline - time.perf_counter()))
            with stages("core"):
                held.enter_context(self._gate.inside())
            with stages("decode"):
                image = request.decode()
            return estimate_poses(
                image,
                options,
                self._run_model,
                checkpoint,
                given=given,
                max_persons=self._limits.max_persons,
                stages=stages,
            )

    def _run_model(
        self, model: str, images: npt.NDArray[np.uint8], outputs: tuple[str, ...]
    ) -> list[npt.NDArray[np.float32]]:
        """Run a model while others compute here (see ``pipeline.RunModel``)."""
        with self._gate.outside():
            return _run_model(model, images, outputs, self._spans.context())


def _prepare_spans() -> Spans:
    try:
        return Spans.from_environment(os.environ, "tritonpose-pipeline")
    except TracingNotInstalledError as error:
        pb_utils.Logger.log_warn(str(error))
        return Spans(None)


def _copy_input(request: Any, name: str) -> npt.NDArray[Any] | None:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else tensor.as_numpy().copy()


def _tensors(poses: Poses) -> list[Any]:
    return [
        pb_utils.Tensor(name, np.ascontiguousarray(value))
        for name, value in poses._asdict().items()
    ]


def _run_model(
    model: str, images: npt.NDArray[np.uint8], outputs: tuple[str, ...], context: dict[str, str]
) -> list[npt.NDArray[np.float32]]:
    """Run a model through Triton, as part of a trace (see ``Spans.context``)."""
    response = _execute(model, images, outputs, context)
    if response.has_error():
        # Installed, but not loaded yet: models are loaded when they are first asked for.
        _load(model)
        response = _execute(model, images, outputs, context)
    if response.has_error():
        raise ModelUnavailableError(f"model {model!r}: {response.error().message()}")
    return [pb_utils.get_output_tensor_by_name(response, name).as_numpy() for name in outputs]


def _execute(
    model: str, images: npt.NDArray[np.uint8], outputs: tuple[str, ...], context: dict[str, str]
) -> Any:
    return pb_utils.InferenceRequest(
        model_name=model,
        requested_output_names=list(outputs),
        inputs=[pb_utils.Tensor("image", np.ascontiguousarray(images))],
        parameters=context,
    ).exec()


def _load(model: str) -> None:
    """Load a model unless it is ready.

    Raises:
        ModelUnavailableError: Triton can't load it.
    """
    with _loading:
        if pb_utils.is_model_ready(model_name=model):
            return
        pb_utils.Logger.log_info(f"loading model {model}")
        try:
            pb_utils.load_model(model_name=model)
        except pb_utils.TritonModelException as error:
            raise ModelUnavailableError(f"model {model!r} can't be loaded: {error}") from error


class _Sender:
    """Triton's sender of a request's response; tells the log of requests that go wrong.

    Attributes:
        is_cancelled: Whether the client no longer waits.
    """

    def __init__(self, request: Any, slow_seconds: float) -> None:
        self._request_id: str = request.request_id()
        self._arrival = time.monotonic()
        self._slow_seconds = slow_seconds
        self._sender = request.get_response_sender()
        self.is_cancelled = self._sender.is_cancelled

    def line(self, outcome: str, message: str = "") -> str:
        """What to write into the log."""
        return line(self._request_id, outcome, time.monotonic() - self._arrival, message)

    def send(self, response: Any) -> None:
        """Send the one response."""
        self._sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        if time.monotonic() - self._arrival > self._slow_seconds:
            pb_utils.Logger.log_warn(self.line("answered slowly"))


def _send_error(sender: _Sender, error: Exception) -> None:
    """Answer with an error of the code that tells the client what it can do."""
    codes: dict[type[Exception], int] = {
        BadRequestError: pb_utils.TritonError.INVALID_ARG,
        UnavailableError: pb_utils.TritonError.UNAVAILABLE,
        # Triton has no code of its own for deadlines.
        DeadlineError: pb_utils.TritonError.UNAVAILABLE,
        CancelledError: pb_utils.TritonError.CANCELLED,
    }
    code = next((codes[kind] for kind in codes if isinstance(error, kind)), None)
    if code is None:
        details = "".join(traceback.format_exception(error))
        pb_utils.Logger.log_error(f"{sender.line('failed')}\n{details}")
        code = pb_utils.TritonError.INTERNAL
        if not isinstance(error, RequestError):
            error = RuntimeError(f"internal error: {type(error).__name__}: {error}")
    else:
        # Not a warning: how many of these there are is up to those who send requests.
        pb_utils.Logger.log_info(sender.line("refused", str(error)))
    sender.send(pb_utils.InferenceResponse(error=pb_utils.TritonError(format_error(error), code)))
