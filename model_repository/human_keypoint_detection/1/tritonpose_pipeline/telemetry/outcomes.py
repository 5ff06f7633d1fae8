"""How requests end, in the words of metrics."""

from __future__ import annotations

from tritonpose_pipeline.errors import (
    CancelledError,
    DeadlineError,
    InvalidRequestError,
    UnavailableError,
)

OK = "ok"

# The kinds of an end, from most to least wanted.
OUTCOMES = (OK, "invalid", "unavailable", "deadline", "cancelled", "internal")

_OUTCOME_OF: dict[type[BaseException], str] = {
    InvalidRequestError: "invalid",
    UnavailableError: "unavailable",
    DeadlineError: "deadline",
    CancelledError: "cancelled",
}

BUSY = "max_in_flight"
"""Reason of a request that was refused because too many were under way."""

SHUTDOWN = "shutdown"
"""Reason of a request that came while the server was shutting down."""

# What an invalid request was refused for, by the stage that found it out.
_INVALID_REASONS = {
    "options": "options",
    "check": "image",
    "decode": "damaged_image",
}

REASONS = (
    *_INVALID_REASONS.values(),
    BUSY,
    SHUTDOWN,
    "model",
    "memory",
    "deadline",
    "cancelled",
    "internal",
)


def outcome_of(error: BaseException) -> str:
    """The kind of a request's end, one of ``OUTCOMES``."""
    return _OUTCOME_OF.get(type(error), "internal")


def reason_of(error: BaseException, stage: str | None) -> str:
    """Why a request got no result, one of ``REASONS``.

    Args:
        error: What it failed with.
        stage: The stage that failed, None where none did.
    """
    outcome = outcome_of(error)
    if outcome == "invalid":
        return _INVALID_REASONS.get(stage or "", "options")
    if outcome == "unavailable":
        return BUSY if stage is None else "model"
    if outcome == "deadline" and stage == "memory":
        return "memory"
    return outcome
