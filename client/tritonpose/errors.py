"""All errors of the client, one class per thing a caller can do about it.

TritonPoseError              any of the below
├── ConfigError              correct the YAML, the arguments or the URL (also a ValueError)
├── InputError               skip or replace this input (also a ValueError)
├── InvalidRequestError      the server refused the request: change what is asked
├── AccessDeniedError        the server wants credentials: give it others
├── ModelNotFoundError       the server lacks the model: ask another, or load it
├── ServerUnavailableError   nobody answers, or the server is full: try again later
├── DeadlineExceededError    no answer in time: try again, or allow more time
└── ServerError              the server failed: look into its log
"""

from __future__ import annotations


class TritonPoseError(Exception):
    """Base of every error that tritonpose raises on purpose.

    Attributes:
        detail: The server's own message; None where no server was asked.
        code: What programs tell the server's errors apart by, such as ``busy``, ``deadline``,
            ``shutting_down``, ``model_unavailable``, ``damaged_image``; None where it gave none.
        request_id: The request's name in the server's log; None where none was sent.
    """

    detail: str | None = None
    code: str | None = None
    request_id: str | None = None


class ConfigError(TritonPoseError, ValueError):
    """A pipeline configuration, an argument or a URL is wrong; no request was sent."""


class InputError(TritonPoseError, ValueError):
    """One input can't be read or isn't an image.

    Attributes:
        input: The offending input as it was given (a path as ``str``, or the object itself).
    """

    def __init__(self, message: str, input: object = None) -> None:  # noqa: A002 (PaddleX's word)
        super().__init__(message)
        self.input = input


class InvalidRequestError(TritonPoseError):
    """The server understood the request and refused it (INVALID_ARGUMENT, HTTP 400)."""


class AccessDeniedError(TritonPoseError):
    """The server, or a proxy before it, refused the credentials (HTTP 401, 403)."""


class ModelNotFoundError(TritonPoseError):
    """The server has no such model (NOT_FOUND, HTTP 404)."""


class ServerUnavailableError(TritonPoseError):
    """No server could be reached, or it has no room now (UNAVAILABLE, HTTP 503). Retryable."""


class _LoggedError(TritonPoseError):
    """An error of which the server's log may say more; its message names the request."""

    def __str__(self) -> str:
        message = super().__str__()
        return message if self.request_id is None else f"{message} (request {self.request_id})"


class DeadlineExceededError(_LoggedError):
    """No answer came within the timeout, over all attempts."""


class ServerError(_LoggedError):
    """The server failed in a way that fits no other class."""
