"""Read and check the JSON body of a request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pybase64
import pydantic_core
from pydantic import ValidationError

from tritonpose_server.service.contract.failures import ServiceError, invalid, invalid_image
from tritonpose_server.service.contract.schema import InferRequestBody, usable_log_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tritonpose_pipeline.thresholds import Threshold

_URL = re.compile(r"https?://", re.IGNORECASE)
_DATA_URI = re.compile(r"data:[^,]{0,200},", re.IGNORECASE)
_FOREIGN = re.compile(r"[^A-Za-z0-9+/=]")
_WHITESPACE = re.compile(r"[ \t\r\n]+")

_ADVICE = "send the bytes of an image file, base64-encoded"


@dataclass(frozen=True)
class KeypointRequest:
    """A request for the keypoints in an image.

    Attributes:
        image: The bytes of a file, supposedly an image; or the URL to fetch it from.
        det_threshold: Lowest detection score, 0 to 1, or of each class by its label or id; None
            for that of the served pipeline.
        log_id: The id that the client gave its request, None if it gave no usable one.
    """

    image: bytes | str
    det_threshold: Threshold | None
    visualize: bool
    log_id: str | None


def parse_json(body: bytes | bytearray) -> object:
    """Parse JSON text, UTF-8; ServiceError 422 if it is not JSON."""
    try:
        document: object = pydantic_core.from_json(body)
    except ValueError as error:
        raise invalid([("json_invalid", "body", f"JSON decode error: {error}")]) from None
    return document


def check_request(document: object, *, visualize: bool) -> KeypointRequest:
    """Check the parsed JSON of a request; ServiceError 422, with its ``log_id``, if it is wrong.

    Numbers and booleans may be strings that spell them, as PaddleX allows. ``visualize`` is the
    default for requests without that field.
    """
    log_id = usable_log_id(document.get("logId")) if isinstance(document, dict) else None
    try:
        fields = InferRequestBody.model_validate(document, from_attributes=True)
        image = read_image(fields.image)
    except ValidationError as error:
        raise invalid(_problems(error), log_id) from None
    except ServiceError as error:
        error.log_id = log_id
        raise
    return KeypointRequest(
        image=image,
        det_threshold=fields.detThreshold,
        visualize=visualize if fields.visualize is None else fields.visualize,
        log_id=log_id,
    )


def read_image(text: str) -> bytes | str:
    """Decode the field ``image``: to bytes or a URL, neither checked yet to be of an image.

    It is base64 (RFC 4648, section 4), with or without a header ``data:...;base64,``; line breaks
    and blanks, as some encoders insert them, are skipped. Or it is a URL, ``http:`` or ``https:``.
    Raises ServiceError 422 if it is not base64, or empty.
    """
    if _URL.match(text):
        return text
    header = _DATA_URI.match(text)
    if header:
        if not header[0].lower().endswith(";base64,"):
            raise invalid_image(
                "base64", f"`image` is a data URI without `;base64` in its header: {_ADVICE}"
            )
        text = text[header.end() :]
    data = _decode(text)
    if not data:
        raise invalid_image("base64", f"`image` is empty: {_ADVICE}")
    return data


def _decode(text: str) -> bytes:
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        dense = _WHITESPACE.sub("", text)
    try:
        return pybase64.b64decode(dense, validate=True)
    except ValueError:
        raise invalid_image("base64", f"`image` is not base64: {_explain(dense)}") from None


def _explain(text: str) -> str:
    """Explain why a text without whitespace is not base64."""
    foreign = _FOREIGN.search(text)
    if foreign:
        hint = "; use the standard alphabet, with + and /" if foreign[0] in "-_" else ""
        return f"character {foreign[0]!r} at position {foreign.start()}{hint}; {_ADVICE}"
    padding = text.find("=")
    if padding >= 0 and text[padding:].strip("="):
        return f"padding `=` inside the text, at position {padding}; {_ADVICE}"
    return (
        f"its {len(text)} characters are not a whole number of padded groups of 4, so it is "
        f"truncated or lacks padding `=`; {_ADVICE}"
    )


def _problems(error: ValidationError) -> list[tuple[str, str, str]]:
    return [
        (each["type"], _location(each["loc"]), each["msg"])
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _location(path: Sequence[int | str]) -> str:
    """Write a path as PaddleX does: ``body.image``, ``body.list[3]``."""
    return "body" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
