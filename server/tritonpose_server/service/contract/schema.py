"""The bodies of requests and responses, with PaddleX's names.

These models validate requests and describe the interface; `contract.answers` writes responses
without them.
"""

from __future__ import annotations

import contextlib
import json
import re
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)

from tritonpose_pipeline.regions import check_boxes, check_region
from tritonpose_pipeline.thresholds import check_threshold

Pair = tuple[int, int]
BoundingBox = tuple[float, float, float, float]
Keypoint = tuple[float, float, float]

# 32x32 pixels: readers of the description can send it as it is.
_GRAY_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAAAAABWESUoAAAAGElEQVQ4y2OsZ8APmBhGFYwqGFUwQhUA"
    "AJOfAL8Rxn4YAAAAAElFTkSuQmCC"
)

# Safe in a header and in a line of the log.
_USABLE_ID = re.compile(r"[!-~]{1,128}")

# Far more than the pipeline takes, whose own limits can be configured.
_MAX_POINTS = 10_000
_MAX_TEXT = 1_000_000

LogId = Annotated[str, Field(description="Id of the request; the server's log has it, too.")]


def usable_log_id(value: object) -> str | None:
    """Return the value if it can identify a request (1 to 128 printable ASCII characters)."""
    return value if isinstance(value, str) and _USABLE_ID.fullmatch(value) else None


def choose_log_id(*proposals: object) -> str:
    """Return the first usable id that a client proposed, or else a new one."""
    return next(filter(None, map(usable_log_id, proposals)), None) or str(uuid.uuid4())


def _parsed(text: str, name: str) -> object:
    """Return what a text says as JSON, the text itself where it is none; or ValueError."""
    if len(text) > _MAX_TEXT:
        raise ValueError(f"{name} has {len(text)} characters; up to {_MAX_TEXT} are accepted")
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(text)
    return text


def _by_class(value: object, check: ValidatorFunctionWrapHandler) -> Any:
    """Check a threshold; those of classes are numbers, or texts that spell them.

    In a query or a form, which hold texts alone, they are the text of a JSON object.
    """
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = _parsed(value, "detThreshold")
    if not isinstance(value, dict):
        return check(value)
    with contextlib.suppress(ValueError):
        value = {key: float(each) if isinstance(each, str) else each for key, each in value.items()}
    return check_threshold(value, "detThreshold")


_SCORE_SCHEMA = {"type": "number", "minimum": 0, "maximum": 1}
DetThreshold = Annotated[
    float | None,
    WrapValidator(_by_class),
    WithJsonSchema(
        {
            "anyOf": [
                _SCORE_SCHEMA,
                {"type": "object", "additionalProperties": _SCORE_SCHEMA},
                {"type": "null"},
            ]
        }
    ),
]


def _points(check: Callable[[object, str], object], name: str) -> BeforeValidator:
    """Make the validator of lists of numbers, which ``check`` makes an array of.

    In a query or a form, which hold texts alone, they are JSON.
    """

    def validate(value: object) -> object:
        if isinstance(value, str):
            value = _parsed(value, name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise ValueError(f"{name} must be a list")
        if len(value) > _MAX_POINTS:
            raise ValueError(f"{name} has {len(value)} items; up to {_MAX_POINTS} are accepted")
        return check(value, name)

    return BeforeValidator(validate)


def _points_schema(count: int) -> WithJsonSchema:
    numbers = {
        "type": "array",
        "items": {"type": "number"},
        "minItems": count,
        "maxItems": count,
    }
    return WithJsonSchema({"anyOf": [{"type": "array", "items": numbers}, {"type": "null"}]})


class _WithImage(BaseModel):
    image: str = Field(
        description="A JPEG, PNG, WebP or BMP file, base64-encoded (RFC 4648, standard alphabet, "
        "with padding); a header `data:...;base64,` may precede it. Or the URL "
        "of such a file, where the server is configured to fetch them.",
        examples=[_GRAY_PNG],
    )


Region = Annotated[Any, _points(check_region, "roi"), _points_schema(2)]


class InferOptions(BaseModel):
    """How an image is processed. Unknown fields are ignored."""

    detThreshold: DetThreshold = Field(  # noqa: N815 (PaddleX's names)
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Only people with a detection score above this are returned; or an object "
        "with such a score for each class of the detector, by its label or id, where others have "
        "0.5. Default: that of the served pipeline.",
        examples=[0.5],
    )
    personBoxes: Annotated[  # noqa: N815
        Any, _points(check_boxes, "personBoxes"), _points_schema(4)
    ] = Field(
        None,
        description="People found elsewhere, each x1, y1, x2, y2 in pixels of the image: then no "
        "detector runs, and `persons` keeps their order, with detection scores of 1. May be empty.",
        # As `/docs` sends it.
        examples=[None],
    )
    roi: Region = Field(
        None,
        description="Region of interest: the corners x, y of a polygon in pixels of the image. "
        "People whose `bbox` has the middle of its bottom edge outside are left out.",
        examples=[[[0, 0], [32, 0], [32, 32], [0, 32]]],
    )
    fastDecode: bool | None = Field(  # noqa: N815
        None,
        description="Whether a JPEG that is much larger than people's crops is decoded at a half, "
        "a quarter or an eighth of its size: faster, and results change a little. Default: false.",
        examples=[True],
    )
    visualize: bool | None = Field(
        None,
        description="Whether to return the image with the poses drawn on it. Default: that of "
        "the served pipeline, true unless it is configured otherwise.",
        examples=[False],
    )
    logId: Annotated[str | None, BeforeValidator(usable_log_id)] = Field(  # noqa: N815
        None,
        description="Id of this request, which the answer repeats; 1 to 128 printable ASCII "
        "characters. Default: the header `X-Request-ID`, or else a new UUID.",
        examples=["photo-17"],
    )


class InferRequestBody(InferOptions, _WithImage):
    """One image to find people in. Unknown fields are ignored."""

    model_config = ConfigDict(title="InferRequest")


class Person(BaseModel):
    """One person."""

    bbox: BoundingBox = Field(
        description="x1, y1, x2, y2 in pixels of the image.",
        examples=[[412.25, 80.5, 540.75, 402.0]],
    )
    kpts: list[Keypoint] = Field(
        description="The keypoints, each x and y in pixels of the image and a score: the 17 of "
        "COCO in its order, unless `keypointSchema` names others.",
        min_length=1,
        examples=[[[470.5, 101.25, 0.93]] * 17],
    )
    detScore: float = Field(description="Detection score, 0 to 1.")  # noqa: N815
    kptScore: float = Field(description="Mean score of the keypoints.")  # noqa: N815


class KeypointDescription(BaseModel):
    """What the keypoints are. Pairs are of indices, from 0."""

    names: list[str] = Field(description="Of each keypoint.")
    skeleton: list[Pair] = Field(description="Limbs, in drawing order.")
    colors: list[str] = Field(
        description="`#rrggbb` of each keypoint and each limb; where there are fewer, they begin "
        "again."
    )
    flip_pairs: list[Pair] | None = Field(
        None, description="Keypoints that change places in a mirrored image; left out if unknown."
    )
    sigmas: list[float] | None = Field(
        None, description="Sigma of each keypoint in COCO's OKS; left out if unknown."
    )


class InferResult(BaseModel):
    """The people in an image."""

    persons: list[Person] = Field(description="By descending detection score; may be empty.")
    truncated: bool = Field(
        False,
        description="Whether more people were found than are returned: these have the best "
        "scores. Left out where it is false.",
    )
    keypointSchema: KeypointDescription | None = Field(  # noqa: N815
        None,
        description="What the keypoints are. Left out where they are COCO's 17, or nobody knows.",
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
        description="Open models that are served in place of PaddleX's: by the name of PaddleX's "
        "model, the name of the model served instead. Left out where there are none.",
        examples=[{"PP-YOLOE-S_human": "NanoDet_person_416"}],
    )
