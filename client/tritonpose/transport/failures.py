"""Messages of failed requests: what happened, in the server's words, and what to do."""

from __future__ import annotations

from tritonpose.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    ModelNotFoundError,
    ServerError,
    ServerUnavailableError,
    TritonPoseError,
)
from tritonpose.transport.messages import MODEL_NAME


def failure(kind: type[TritonPoseError], url: str, detail: str) -> TritonPoseError:
    """Makes the error to raise for a failed request.

    Args:
        kind: The class of error.
        url: The server's URL.
        detail: What the server or the network layer said.
    """
    detail = detail.rstrip(".")
    messages: dict[type[TritonPoseError], str] = {
        InvalidRequestError: f"{url} refused the request: {detail}",
        ModelNotFoundError: (
            f"{url} doesn't serve what was asked of {MODEL_NAME!r}: {detail}. Check that it is a "
            "tritonpose server and that the models named in the pipeline are installed on it"
        ),
        ServerUnavailableError: (
            f"{url} is unavailable: {detail}. If no server runs there, start one with `tritonpose "
            "serve` or give another address as url=... or $TRITONPOSE_URL; if it is busy or "
            "starting, try again"
        ),
        DeadlineExceededError: (
            f"{url} gave no answer in time: {detail}. Try again, or allow more with timeout=..."
        ),
        ServerError: f"{url} failed: {detail}. The server's log may say more",
    }
    return kind(messages[kind])
