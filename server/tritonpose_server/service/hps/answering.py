"""From a tensor to a tensor."""

from __future__ import annotations

import os
import threading
import traceback
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tritonpose.transport.messages import InferRequest
from tritonpose_server.service.contract import (
    ServiceError,
    check_request,
    choose_log_id,
    error_body,
    parse_json,
    success_body,
)
from tritonpose_server.service.contract.failures import internal_error
from tritonpose_server.service.hps.failures import PipelineError, failure_of_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from tritonpose.transport.messages import PoseResponse
    from tritonpose_server.service.hps.settings import HpsSettings


class InputError(Exception):
    """The tensor is none that the contract knows; the message says what is wrong."""


class Hps:
    """Answers requests. Safe to use from several threads."""

    def __init__(
        self,
        settings: HpsSettings,
        estimate: Callable[[InferRequest], PoseResponse],
        fetch: Callable[[str], bytes],
        log: Callable[[str], None],
    ) -> None:
        """Prepare to answer.

        Args:
            settings: The model's configuration.
            estimate: Finds the people in an image; raises PipelineError.
            fetch: Fetches the image at a URL; raises ServiceError.
            log: Told, with the ``logId``, of requests that fail through no fault of their sender.
        """
        self._visualize = settings.visualize
        self._estimate = estimate
        self._fetch = fetch
        self._log = log
        # A large image takes hundreds of megabytes while it is decoded and drawn on.
        self._pixels = threading.BoundedSemaphore(len(os.sched_getaffinity(0)))

    def answer(self, tensor: npt.NDArray[Any]) -> bytes:
        """Answers a request, whether it succeeds or not.

        Args:
            tensor: object ``[1, 1]``, the request's JSON as bytes, UTF-8.

        Returns:
            The answer's JSON, UTF-8.

        Raises:
            InputError: The tensor has another shape, or its element is not JSON.
        """
        document = _document(tensor)
        log_id = None
        try:
            asked = check_request(document, visualize=self._visualize)
            log_id = choose_log_id(asked.log_id)
            image = self._fetch(asked.image) if isinstance(asked.image, str) else asked.image
            poses = self._poses(image, asked.det_threshold, log_id)
            with self._pixels:
                return success_body(asked, image, poses, log_id)
        except ServiceError as error:
            return error_body(error, log_id or choose_log_id(error.log_id))
        except Exception as error:
            log_id = log_id or choose_log_id()
            details = "".join(traceback.format_exception(error))
            self._log(f"request {log_id} failed: {details}")
            return error_body(internal_error(), log_id)

    def _poses(self, image: bytes, det_threshold: float | None, log_id: str) -> PoseResponse:
        try:
            return self._estimate(
                InferRequest(image=image, det_threshold=det_threshold, request_id=log_id)
            )
        except PipelineError as error:
            failure = failure_of_pipeline(error)
            if failure.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not error.is_refusal:
                self._log(f"request {log_id} failed: {error}")
            raise failure from error


def _document(tensor: npt.NDArray[Any]) -> object:
    if tensor.shape != (1, 1):
        raise InputError(f"`input` must have the shape [1, 1], got {list(tensor.shape)}")
    try:
        return parse_json(tensor[0, 0])
    except ServiceError:
        raise InputError("`input` must be JSON text, UTF-8") from None
