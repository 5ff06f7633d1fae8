"""Errors of requests, as clients see them."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

import pydantic_core

from tritonpose_pipeline import errors

BUSY = "busy"
"""Reason of a request that this service refused because too many were in flight."""

TRITON_BUSY = "triton_busy"
"""Reason of a request that the pipeline refused because it was full, or too late."""

PAGE = "page"
"""Reason of a request that a web page of another site has sent."""

URL_HOST = "url_host"
"""Reason of a request whose image the host of its URL did not give."""

_REFUSED = frozenset(
    error.code
    for error in (errors.TooManyRequestsError, errors.ShuttingDownError, errors.DeadlineError)
)
_INVALID = frozenset(error.code for error in (errors.BadImageError, errors.DamagedImageError))


# All that a client of the service chooses beside the image: its name in the pipeline, and here.
_FIELDS = {"det_threshold": "detThreshold", "person_boxes": "personBoxes", "roi": "roi"}


class ServiceError(Exception):
    """A request that is answered with an error; ``log_id`` is the client's own ``logId``, if known.

    ``status`` is the HTTP status and ``errorCode`` of the body, ``message`` its ``errorMsg``;
    ``reason`` labels metrics where the status doesn't tell it.
    """

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        log_id: str | None = None,
        *,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.log_id = log_id
        self.reason = reason

    @property
    def is_fault(self) -> bool:
        """Whether it is the server's, to be logged; the pipeline model itself logs its refusals."""
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(self, BusyError)


class BusyError(ServiceError):
    """An error 503: others have used up a limit, or it is too late."""

    def __init__(self, why: str, reason: str = BUSY) -> None:
        super().__init__(HTTPStatus.SERVICE_UNAVAILABLE, f"{why}; try again later", reason=reason)


def invalid(problems: Sequence[tuple[str, str, str]], log_id: str | None = None) -> ServiceError:
    """Make an error 422; as PaddleX's, its message is the problems as JSON.

    Args:
        problems: Of each the kind, for programs, such as ``missing``; where it is, such as
            ``body.image``; what is wrong and how to fix it, for people.
        log_id: The ``logId`` of the request.
    """
    keys = ("type", "loc", "msg")
    message = pydantic_core.to_json([dict(zip(keys, each, strict=True)) for each in problems])
    return ServiceError(HTTPStatus.UNPROCESSABLE_ENTITY, message.decode(), log_id)


def invalid_image(kind: str, message: str, log_id: str | None = None) -> ServiceError:
    """Make an error 422 about the field ``image``."""
    return invalid([(kind, "body.image", message)], log_id)


def missing_image(advice: str) -> ServiceError:
    """Make an error 422 about a request without an image."""
    return invalid_image("missing", f"Field required: {advice}")


def unavailable(message: str) -> ServiceError:
    """Make an error 503: the same request may succeed a moment later."""
    return ServiceError(HTTPStatus.SERVICE_UNAVAILABLE, message)


def triton_unavailable() -> ServiceError:
    """Make the error 503 of a Triton that is out of reach, or lacks the pipeline or a model."""
    return unavailable("Triton is unavailable; try again later")


def internal_error(message: str = "Internal server error") -> ServiceError:
    """Make an error 500; details belong in the log."""
    return ServiceError(HTTPStatus.INTERNAL_SERVER_ERROR, message)


def failure_of_pipeline(code: str | None, text: str) -> ServiceError | None:
    """Choose the client's error for one that the pipeline model answered with.

    ``code`` is one of `tritonpose_pipeline.errors`, or None. Returns None where it doesn't tell.
    Details of faults of the server are for the log alone; a model that failed is named.
    """
    if code == errors.BadRequestError.code:
        field = "detThreshold"
        for tensor, name in _FIELDS.items():
            if f"`{tensor}`" in text:
                field, text = name, text.replace(f"`{tensor}`", f"`{name}`")
        return invalid([("value_error", f"body.{field}", text)])
    if code in _INVALID:
        return invalid_image("image", text)
    if code in _REFUSED:
        return BusyError(text, TRITON_BUSY)
    if code == errors.ModelFailedError.code:
        return internal_error(f"Internal server error: {text.partition(': ')[0]}")
    return internal_error() if code == errors.INTERNAL else None
