"""The Triton server behind the service."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from tritonpose.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    ModelNotFoundError,
    ServerUnavailableError,
    TritonPoseError,
)
from tritonpose.transport.messages import InferRequest
from tritonpose_pipeline import errors
from tritonpose_server.service.contract.failures import (
    ServiceError,
    internal_error,
    invalid_image,
    unavailable,
)
from tritonpose_server.service.rest.metrics import TRITON_BUSY
from tritonpose_server.service.rest.slots import BusyError

if TYPE_CHECKING:
    from tritonpose.transport import AsyncTransport
    from tritonpose.transport.messages import PoseResponse

LOGGER = logging.getLogger("tritonpose.service")

_READY_SECONDS = 2.0

# The server was too busy or too late: the pipeline model's own log reports these.
_REFUSALS = frozenset(
    error.code
    for error in (errors.TooManyRequestsError, errors.ShuttingDownError, errors.DeadlineError)
)


class Upstream:
    """The Triton server behind the service; made and used within one event loop."""

    def __init__(self, transport: AsyncTransport, timeout: float) -> None:
        """Use a connection.

        Args:
            transport: Sends requests to the server, without repeating them: that is for the
                clients of this service to decide. It is closed with this.
            timeout: Seconds that a request may take.
        """
        self._transport = transport
        self._timeout = timeout

    async def infer(self, image: bytes, det_threshold: float | None, log_id: str) -> PoseResponse:
        """Find the people in an image.

        Args:
            image: The bytes of its file.
            det_threshold: Lowest detection score, 0 to 1; None for that of the served pipeline.
            log_id: Name of the request, here, in Triton and in the log.

        Raises:
            ServiceError: 422 if the image is refused; 503, 504 or 500 if Triton is out of
                reach, slow or failing.
        """
        try:
            return await self._transport.infer(
                InferRequest(image=image, det_threshold=det_threshold, request_id=log_id)
            )
        except TritonPoseError as error:
            failure = self._told_to_client(error)
            # Of those that it refuses the pipeline's own log tells.
            refused = isinstance(failure, BusyError)
            if failure.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not refused:
                LOGGER.error(
                    "request_id=%s failed: %s: %s",
                    *(log_id, type(error).__name__, error),
                    extra={"request_id": log_id},
                )
            raise failure from error

    async def is_ready(self) -> bool:
        """Whether Triton serves the pipeline now."""
        return await self._transport.is_ready(_READY_SECONDS)

    async def close(self) -> None:
        """Closes the connection."""
        await self._transport.close()

    def _told_to_client(self, error: TritonPoseError) -> ServiceError:
        """What the client may know: addresses and faults of the server are for the log."""
        code, text = errors.parse_code(error.detail or str(error))
        if isinstance(error, InvalidRequestError):
            return invalid_image("image", text)
        if (getattr(error, "code", None) or code) in _REFUSALS:
            return BusyError(text, TRITON_BUSY)
        if isinstance(error, ServerUnavailableError | ModelNotFoundError):
            return unavailable("the inference server is unavailable; try again later")
        if isinstance(error, DeadlineExceededError):
            return ServiceError(
                HTTPStatus.GATEWAY_TIMEOUT,
                f"the inference server gave no answer within {self._timeout:g} s; try again later",
            )
        return internal_error()
