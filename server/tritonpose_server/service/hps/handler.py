"""Answer HPS requests: JSON tensor in and out."""

from __future__ import annotations

import re
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tritonpose_pipeline.cores import available_cores
from tritonpose_pipeline.errors import parse_code
from tritonpose_server.service.contract.answers import error_body, success_body
from tritonpose_server.service.contract.failures import (
    ServiceError,
    failure_of_pipeline,
    internal_error,
    triton_unavailable,
)
from tritonpose_server.service.contract.requests import check_request, parse_json
from tritonpose_server.service.contract.schema import choose_log_id
from tritonpose_server.service.urls.settings import URLS_OFF, UrlSettings

if TYPE_CHECKING:
    import numpy.typing as npt

    from tritonpose.transport.messages import InferRequest, PoseResponse


@dataclass(frozen=True)
class HpsSettings:
    """The model's configuration.

    Attributes:
        visualize: Whether answers contain a picture by default.
        max_in_flight: Requests accepted, and worked on, at the same time.
    """

    visualize: bool
    max_in_flight: int
    urls: UrlSettings = URLS_OFF

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> HpsSettings:
        """Read the ``parameters`` of the model's ``config.pbtxt``; ValueError if one is wrong."""
        return cls(
            visualize=_read(parameters, "visualize", "true|false", "true or false") == "true",
            max_in_flight=int(
                _read(parameters, "max_in_flight", r"[1-9]\d{0,8}", "a positive integer")
            ),
            urls=UrlSettings.from_parameters(parameters),
        )


class MalformedTensorError(Exception):
    """The input tensor is malformed; the message says how."""


class PipelineError(Exception):
    """The pipeline model answered with an error; the message is Triton's, with its code."""


class HpsHandler:
    """Answers requests. Safe to use from several threads."""

    def __init__(
        self,
        settings: HpsSettings,
        estimate: Callable[[InferRequest], PoseResponse],
        fetch: Callable[[str], bytes],
        log: Callable[[str], None],
    ) -> None:
        """Prepare to answer.

        ``estimate`` finds the people in an image or raises PipelineError; ``fetch`` fetches the
        image at a URL or raises ServiceError; ``log`` logs requests that fail through a fault
        of the server, with their ``logId``.
        """
        self._visualize = settings.visualize
        self._estimate = estimate
        self._fetch = fetch
        self._log = log
        # A large image takes hundreds of megabytes while it is decoded and drawn on.
        self._pixels = threading.BoundedSemaphore(available_cores())

    def answer(self, tensor: npt.NDArray[Any]) -> bytes:
        """Answer a request, an object tensor ``[1, 1]``, whether it succeeds or not.

        The element and the answer are JSON, UTF-8. Raises MalformedTensorError if the tensor has
        another shape, or its element is not JSON.
        """
        document = _document(tensor)
        log_id = None
        try:
            asked = check_request(document, visualize=self._visualize)
            log_id = choose_log_id(asked.log_id)
            image = self._fetch(asked.image) if isinstance(asked.image, str) else asked.image
            poses = self._find_people(asked.to_pipeline(image, log_id))
            with self._pixels:
                return success_body(asked, image, poses, log_id)
        except ServiceError as error:
            return error_body(error, log_id or choose_log_id(error.log_id))
        except Exception as error:
            log_id = log_id or choose_log_id()
            details = "".join(traceback.format_exception(error))
            self._log(f"request {log_id} failed: {details}")
            return error_body(internal_error(), log_id)

    def _find_people(self, request: InferRequest) -> PoseResponse:
        try:
            return self._estimate(request)
        except PipelineError as error:
            code, text = parse_code(str(error))
            failure = failure_of_pipeline(code, text) or triton_unavailable()
            if failure.is_fault:
                self._log(f"request {request.request_id} failed: {error}")
            raise failure from error


def _document(tensor: npt.NDArray[Any]) -> object:
    if tensor.shape != (1, 1):
        raise MalformedTensorError(f"`input` must have the shape [1, 1], got {list(tensor.shape)}")
    try:
        return parse_json(tensor[0, 0])
    except ServiceError:
        raise MalformedTensorError("`input` must be JSON text, UTF-8") from None


def _read(parameters: Mapping[str, str], key: str, pattern: str, expected: str) -> str:
    text = parameters.get(key, "")
    if not re.fullmatch(pattern, text, re.ASCII):
        raise ValueError(f"the parameter `{key}` must be {expected}, got {text!r}")
    return text
