"""The bodies of requests and responses, with PaddleX's names.

These models validate requests and describe the interface; responses are written without them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

from tritonpose_server.service.contract.log_id import usable_log_id

BoundingBox = tuple[float, float, float, float]
Keypoint = tuple[float, float, float]

# 32x32 pixels: what a reader of the description can send as it is.
_GREY_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAAGElEQVQ4y2OsZ8APmBhGFYwqGFUwQhUA"
    "AJOfAL8Rxn4YAAAAAElFTkSuQmCC"
)

LogId = Annotated[str, Field(description="Name of the request; the server's log has it, too.")]


class InferRequest(BaseModel):
    """One image to find people in. Unknown fields are ignored."""

    image: str = Field(
        description="A JPEG, PNG, WebP or BMP file, base64-encoded (RFC 4648, standard alphabet, "
        "with padding); a header `data:...;base64,` may precede it. Or the URL "
        "of such a file, where the server is configured to fetch them.",
        examples=[_GREY_PNG],
    )
    detThreshold: float | None = Field(  # noqa: N815 (PaddleX's names)
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="People are reported whose detection score is above this. Default: that of "
        "the served pipeline.",
        examples=[0.5],
    )
    visualize: bool | None = Field(
        None,
        description="Whether to return the image with the poses drawn on it. Default: that of "
        "the served pipeline, true unless it is configured otherwise.",
        examples=[False],
    )
    logId: Annotated[str | None, BeforeValidator(usable_log_id)] = Field(  # noqa: N815
        None,
        description="Name of this request, which the answer repeats; 1 to 128 printable ASCII "
        "characters. Default: the header `X-Request-ID`, else a new UUID.",
        examples=["photo-17"],
    )


class Person(BaseModel):
    """One person."""

    bbox: BoundingBox = Field(
        description="x1, y1, x2, y2 in pixels of the image.",
        examples=[[412.25, 80.5, 540.75, 402.0]],
    )
    kpts: list[Keypoint] = Field(
        description="17 keypoints in COCO order, each x and y in pixels of the image and a score.",
        min_length=17,
        max_length=17,
        examples=[[[470.5, 101.25, 0.93]] * 17],
    )
    detScore: float = Field(description="Detection score, 0 to 1.")  # noqa: N815
    kptScore: float = Field(description="Mean score of the keypoints.")  # noqa: N815


class InferResult(BaseModel):
    """The people in an image."""

    persons: list[Person] = Field(description="By descending detection score; may be empty.")
    truncated: bool = Field(
        False,
        description="Whether more people were found than are given: these have the best scores. "
        "Left out where there were not.",
    )
    image: str | None = Field(
        None,
        description="JPEG file with the poses drawn on the image, base64-encoded; left out where "
        "`visualize` is false.",
    )


class InferResponse(BaseModel):
    """A success."""

    logId: LogId  # noqa: N815
    result: InferResult
    errorCode: Literal[0] = 0  # noqa: N815
    errorMsg: Literal["Success"] = "Success"  # noqa: N815


class NoResultResponse(BaseModel):
    """A failure, or an answer without a result."""

    logId: LogId  # noqa: N815
    errorCode: int = Field(  # noqa: N815
        description="0, or the HTTP status of the failure."
    )
    errorMsg: str = Field(  # noqa: N815
        description="What happened. With 422, a JSON list of objects with the keys `type`, `loc` "
        "and `msg`, one per problem."
    )


class ReadyResponse(NoResultResponse):
    """A service that is ready."""

    standIns: dict[str, str] = Field(  # noqa: N815
        {},
        description="Open models served in place of PaddleX's models that no source has: the "
        "name of PaddleX's model, and that of the model served instead. Left out where there "
        "are none.",
        examples=[{"PP-YOLOE-S_human": "NanoDet-Plus-M_416"}],
    )
