"""Triton model ``human-keypoint-detection``: PaddleX's high-stability serving contract.

An adapter between ``tritonpose_server.service``, which has the contract, and the pipeline model,
which finds the people. As in the pipeline model, ``execute`` only accepts requests.
"""

from __future__ import annotations

import asyncio
import json
import threading
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

from tritonpose.transport.messages import MODEL_NAME, InferRequest, PoseResponse
from tritonpose_pipeline.opencv import set_up_opencv
from tritonpose_pipeline.telemetry.spans import pop_context
from tritonpose_server.service.contract.answers import error_body
from tritonpose_server.service.contract.failures import BusyError
from tritonpose_server.service.contract.schema import choose_log_id
from tritonpose_server.service.hps.handler import (
    HpsHandler,
    HpsSettings,
    MalformedTensorError,
    PipelineError,
)
from tritonpose_server.service.urls.fetching import ImageFetcher

# Trace context of the request that a thread works on.
_trace_context: ContextVar[Mapping[str, str]] = ContextVar("trace_context")

_OUTPUTS = [field.name for field in fields(PoseResponse)]


class TritonPythonModel:
    """Entry point for Triton."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Read the model's configuration.

        Args:
            args: Triton's arguments (model configuration, repository, version).
        """
        parameters = json.loads(args["model_config"]).get("parameters", {})
        self._settings = HpsSettings.from_parameters(
            {key: value["string_value"] for key, value in parameters.items()}
        )
        images = ImageFetcher(self._settings.urls)
        self._handler = HpsHandler(
            self._settings,
            _estimate,
            # Each in an event loop of its own, in the thread of its request.
            lambda url: asyncio.run(images.fetch(url)),
            pb_utils.Logger.log_error,
        )
        self._slots = threading.BoundedSemaphore(self._settings.max_in_flight)
        # One for each request: nearly all wait for the pipeline, and hear its refusals at once.
        self._pool = ThreadPoolExecutor(self._settings.max_in_flight, thread_name_prefix="hps")
        set_up_opencv()

    def execute(self, requests: Sequence[Any]) -> None:
        """Accept requests, or refuse them at once when too many are in flight."""
        for request in requests:
            sender = request.get_response_sender()
            # A copy: Triton frees a request's memory when execute returns.
            tensor = pb_utils.get_input_tensor_by_name(request, "input").as_numpy()
            context = pop_context(json.loads(request.parameters() or "{}"))
            if self._slots.acquire(blocking=False):
                self._pool.submit(self._serve, tensor, sender, context)
            else:
                limit = self._settings.max_in_flight
                busy = BusyError(f"{limit} requests (max_in_flight) are already in flight")
                _send_text(sender, error_body(busy, choose_log_id()))

    def finalize(self) -> None:
        """Finish the requests in flight."""
        self._pool.shutdown()

    def _serve(self, tensor: npt.NDArray[Any], sender: Any, context: Mapping[str, str]) -> None:
        _trace_context.set(context)
        try:
            if sender.is_cancelled():
                cancelled = pb_utils.TritonError.CANCELLED
                _send_error(sender, "the client cancelled the request", cancelled)
            else:
                _send_text(sender, self._handler.answer(tensor))
        except MalformedTensorError as error:
            _send_error(sender, str(error), pb_utils.TritonError.INVALID_ARG)
        except Exception as error:
            # Without an answer, the client would wait forever.
            pb_utils.Logger.log_error("".join(traceback.format_exception(error)))
            _send_error(sender, "internal error", pb_utils.TritonError.INTERNAL)
        finally:
            self._slots.release()


def _estimate(request: InferRequest) -> PoseResponse:
    """Run the pipeline model.

    Raises:
        PipelineError: It refused the request, or failed.
    """
    response = pb_utils.InferenceRequest(
        model_name=MODEL_NAME,
        request_id=request.request_id,
        requested_output_names=_OUTPUTS,
        inputs=[pb_utils.Tensor(name, array) for name, _, array in request.tensors()],
        parameters={**_trace_context.get(), **request.parameters()},
    ).exec()
    if response.has_error():
        raise PipelineError(response.error().message())
    return PoseResponse.from_outputs(
        lambda name: pb_utils.get_output_tensor_by_name(response, name).as_numpy()
    )


def _send_text(sender: Any, text: bytes) -> None:
    tensor = pb_utils.Tensor("output", np.array([[text]], dtype=np.object_))
    _send(sender, pb_utils.InferenceResponse([tensor]))


def _send_error(sender: Any, message: str, code: int) -> None:
    _send(sender, pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code)))


def _send(sender: Any, response: Any) -> None:
    sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
