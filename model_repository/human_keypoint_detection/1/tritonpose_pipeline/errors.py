"""Errors a request can meet, and how they travel to the client.

Triton hands on a message, but between its models not the status code. So each message begins
with its error's code, ``[busy] 128 requests are already in flight``, and stays readable.
"""

from __future__ import annotations

import re
from typing import ClassVar

INTERNAL = "internal"
"""Code of errors that the pipeline does not foresee."""

_CODED = re.compile(r"\[([a-z_]+)\] ")


class ModelError(Exception):
    """A model's or the pipeline's configuration lacks or garbles a setting."""


class RequestError(Exception):
    """Base of everything a request can fail with for a foreseen reason.

    Attributes:
        code: What programs tell errors apart by; part of the message on its way to the client.
        outcome: The kind of end in the metrics.
        reason: The reason in the metrics.
    """

    code: ClassVar[str] = INTERNAL
    outcome: ClassVar[str] = "internal"
    reason: ClassVar[str] = "internal"


class BadRequestError(RequestError):
    """The request is wrong; the message names what is wrong and how to fix it."""

    code = "invalid_request"
    outcome = "invalid"
    reason = "options"


class BadImageError(BadRequestError):
    """The image can't be used, as its size or its first bytes show."""

    code = "invalid_image"
    reason = "image"


class DamagedImageError(BadRequestError):
    """The image can't be decoded."""

    code = "damaged_image"
    reason = "damaged_image"


class UnavailableError(RequestError):
    """The server can't serve the request at the moment; retrying later makes sense."""

    code = "unavailable"
    outcome = "unavailable"
    reason = "model"


class TooManyRequestsError(UnavailableError):
    """As many requests as the server accepts are already in flight."""

    code = "busy"
    reason = "max_in_flight"


class ShuttingDownError(UnavailableError):
    """The server finishes what it has accepted, and accepts nothing more."""

    code = "shutting_down"
    reason = "shutdown"


class ModelUnavailableError(UnavailableError):
    """A model is not ready and can't be loaded."""

    code = "model_unavailable"


class DeadlineError(RequestError):
    """The request could not be answered in time; the remaining stages are not run."""

    code = "deadline"
    outcome = "deadline"
    reason = "deadline"


class MemoryDeadlineError(DeadlineError):
    """The memory for the image was not free in time."""

    reason = "memory"


class CancelledError(RequestError):
    """The client cancelled the request; the remaining stages are not run."""

    code = "cancelled"
    outcome = "cancelled"
    reason = "cancelled"


class ModelFailedError(RequestError):
    """A model that is ready answered with an error; the message names the model."""

    code = "model_failed"
    reason = "model"


def format_error(error: Exception) -> str:
    """Write an error as the message that goes to the client: ``[code] text``."""
    code = error.code if isinstance(error, RequestError) else INTERNAL
    return f"[{code}] {error}"


def parse_code(message: str) -> tuple[str | None, str]:
    """Split what Triton handed on into code and text; None and all of it where it has no code.

    Triton may have put words of its own before the message.
    """
    found = _CODED.match(message) or re.search(r"(?<=message: )" + _CODED.pattern, message)
    return (found.group(1), message[found.end() :]) if found else (None, message)
