"""What a client is told when it gets no result."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import NamedTuple

import pydantic_core


class Problem(NamedTuple):
    """One thing that is wrong with a request.

    Attributes:
        type: Its kind, for programs, such as ``missing``.
        loc: Where it is, such as ``body.image``.
        msg: What is wrong and how to mend it, for people.
    """

    type: str
    loc: str
    msg: str


class ServiceError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: HTTP status, and ``errorCode`` of the body.
        message: ``errorMsg`` of the body.
        log_id: The ``logId`` that the client chose for its request, None if it is not known.
    """

    def __init__(self, status: HTTPStatus, message: str, log_id: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.log_id = log_id


def invalid(problems: Sequence[Problem], log_id: str | None = None) -> ServiceError:
    """An error 422; as PaddleX's, its message is the problems as JSON."""
    message = pydantic_core.to_json([problem._asdict() for problem in problems]).decode()
    return ServiceError(HTTPStatus.UNPROCESSABLE_ENTITY, message, log_id)


def invalid_image(kind: str, message: str) -> ServiceError:
    """An error 422 about the field ``image``."""
    return invalid([Problem(kind, "body.image", message)])


def unavailable(message: str) -> ServiceError:
    """An error 503: the same request may succeed a moment later."""
    return ServiceError(HTTPStatus.SERVICE_UNAVAILABLE, message)


def internal_error() -> ServiceError:
    """An error 500; what happened is for the log alone."""
    return ServiceError(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal server error")
