"""Errors of failed requests: which class, what happened in the server's words, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tritonpose.errors import (
    AccessDeniedError,
    DeadlineExceededError,
    InvalidRequestError,
    ModelNotFoundError,
    ServerError,
    ServerUnavailableError,
    TritonPoseError,
)
from tritonpose.transport.messages import MODEL_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

# What servers, and proxies before them, answer, as tritonclient spells it.
_KINDS: Mapping[str | None, type[TritonPoseError]] = {
    "StatusCode.INVALID_ARGUMENT": InvalidRequestError,
    "StatusCode.UNAUTHENTICATED": AccessDeniedError,
    "StatusCode.PERMISSION_DENIED": AccessDeniedError,
    "StatusCode.NOT_FOUND": ModelNotFoundError,
    "StatusCode.UNAVAILABLE": ServerUnavailableError,
    "StatusCode.DEADLINE_EXCEEDED": DeadlineExceededError,
    "400": InvalidRequestError,
    "401": AccessDeniedError,
    "403": AccessDeniedError,
    "404": ModelNotFoundError,
    "429": ServerUnavailableError,
    "502": ServerUnavailableError,
    "503": ServerUnavailableError,
    "504": DeadlineExceededError,
}

NO_TRITON = "its answer isn't one of Triton's; perhaps another server uses this port"
"""The detail of a failure to read an answer."""


def error_from_status(status: str | None, url: str, detail: str | None) -> TritonPoseError:
    """Makes the error for a status that a server answered.

    Args:
        status: An HTTP status, such as ``"503"``, or a gRPC one, such as
            ``"StatusCode.UNAVAILABLE"``.
        url: The server's URL.
        detail: What the server said.
    """
    return make_error(_KINDS.get(status, ServerError), url, detail or f"{status}, without a reason")


def make_error(kind: type[TritonPoseError], url: str, detail: str) -> TritonPoseError:
    """Makes the error to raise for a failed request.

    Args:
        kind: The class of error.
        url: The server's URL.
        detail: What the server or the network layer said.
    """
    detail = detail.rstrip(".")
    # To gRPC, a refused certificate is a server that can't be reached.
    encryption = (
        "; if it runs, check that it speaks TLS and that ca_file=... fits its certificate"
        if url.startswith(("grpcs:", "https:"))
        else ""
    )
    messages: dict[type[TritonPoseError], str] = {
        InvalidRequestError: f"{url} refused the request: {detail}",
        AccessDeniedError: (
            f"{url} denied access: {detail}. Check api_key=..., headers=... and cert_file=..."
        ),
        ModelNotFoundError: (
            f"{url} doesn't serve what was asked of {MODEL_NAME!r}: {detail}. Check that it is a "
            "tritonpose server and that the models named in the pipeline are installed on it"
        ),
        ServerUnavailableError: (
            f"{url} is unavailable: {detail}. If no server runs there, start one with `tritonpose "
            "serve` or give another address as url=... or $TRITONPOSE_URL; if it is busy or "
            f"starting, try again{encryption}"
        ),
        DeadlineExceededError: (
            f"{url} gave no answer in time: {detail}. Try again, or allow more with timeout=..."
        ),
        ServerError: f"{url} failed: {detail}. The server's log may say more",
    }
    error = kind(messages[kind])
    error.detail = detail
    return error
