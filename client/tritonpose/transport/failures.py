"""Errors of failed requests: their class, what happened, and what to do about it."""

from __future__ import annotations

import functools
import re
from contextlib import contextmanager
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
from tritonpose_pipeline.errors import parse_code

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Statuses of servers, and of proxies before them, as tritonclient spells them.
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

# What the pipeline can't do now: another server, or the same one later, can. Its own deadline is
# among these, as what delays it is other requests; the request's own timeout bounds the retries.
_RETRYABLE_CODES = ("busy", "deadline", "model_unavailable", "shutting_down", "unavailable")

# Triton's words for a model that it is loading or, as it ends, unloading. An unknown model
# "is not found".
_UNLOADED = "has no available versions"

MAX_ANSWER_BYTES = 64 * 2**20
"""The largest answer that is read: a hundred times that of the largest crowd."""

_MAX_DETAIL_LETTERS = 1000
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@contextmanager
def reading_answer(url: str) -> Iterator[None]:
    """Make whatever goes wrong with reading an answer a ServerError: anybody may have sent it."""
    try:
        yield
    except Exception as error:
        reason = str(error) if isinstance(error, ServerError) else repr(error)
        raise make_error(
            ServerError,
            url,
            f"its answer can't be read ({reason[:200]}); perhaps another server uses this port, or "
            "client and server don't fit together",
        ) from error


def error_from_status(status: str | None, url: str, detail: str | None) -> TritonPoseError:
    """Make the error for a status, such as ``"503"`` or ``"StatusCode.UNAVAILABLE"``.

    A code at the beginning of the server's message ``detail`` becomes the error's `code`.
    """
    detail = detail or f"{status}, without a reason"
    kind = _KINDS.get(status, ServerError)
    code, text = parse_code(detail)
    if kind is ModelNotFoundError and _UNLOADED in detail:
        kind = ServerUnavailableError
    if code in _RETRYABLE_CODES:
        kind = ServerUnavailableError
    error = make_error(kind, url, text)
    error.code = code
    return error


@functools.cache
def _local_install() -> str:
    """Say how to get the local engine where it is not installed."""
    from tritonpose.extras import install_command
    from tritonpose.local import is_installed

    return "" if is_installed() else f" ({install_command('local')})"


def make_error(kind: type[TritonPoseError], url: str, detail: str) -> TritonPoseError:
    """Make the error of a failed request; ``detail`` is from the server or the network layer."""
    # It may be anybody's text, and is printed to terminals.
    detail = " ".join(_UNPRINTABLE.sub("?", detail[:_MAX_DETAIL_LETTERS]).split()).rstrip(".")
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
            "serve`, give another address as url=... or $TRITONPOSE_URL, or run in this process "
            f"with url='local:'{_local_install()}; if it is busy or starting, try again{encryption}"
        ),
        DeadlineExceededError: (
            f"{url} gave no answer in time: {detail}. Try again, or allow more with timeout=..."
        ),
        ServerError: f"{url} failed: {detail}. The server's log may say more",
    }
    error = kind(messages[kind])
    error.detail = detail
    return error
