"""What the pipeline answers where it fails, and what clients of the services learn of it."""

from __future__ import annotations

from typing import NamedTuple


class PipelineFailure(NamedTuple):
    """A failure of the pipeline.

    Attributes:
        status: HTTP status by which Triton answers.
        message: Its message, with a code where the pipeline wrote it.
        code: ``errorCode`` of REST and HPS.
        told: Their ``errorMsg``.
        reason: What REST counts it as.
    """

    status: str
    message: str
    code: int
    told: str
    reason: str


_UNAVAILABLE = (503, "Triton is unavailable; try again later", "triton_unavailable")

PIPELINE_FAILURES = [
    *(
        PipelineFailure(
            *("503", f"[{code}] full, or late"),
            *(503, "full, or late; try again later", "triton_busy"),
        )
        for code in ("busy", "shutting_down", "deadline")
    ),
    PipelineFailure("503", "[model_unavailable] model 'a': no file at 10.0.0.7", *_UNAVAILABLE),
    PipelineFailure("503", "model 'pose' at 10.0.0.7 is not ready", *_UNAVAILABLE),
    PipelineFailure(
        *("500", "[model_failed] model 'a' failed: no memory at 10.0.0.7"),
        *(500, "Internal server error: model 'a' failed", "internal"),
    ),
    PipelineFailure(
        *("500", "[internal] internal error: no luck"),
        *(500, "Internal server error", "internal"),
    ),
]
