"""Read and check requests: JSON documents, and files with options."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pybase64
import pydantic_core
from pydantic import ValidationError

from tritonpose.file_types import is_server_format
from tritonpose.transport.messages import InferRequest
from tritonpose_server.service.contract.failures import ServiceError, invalid, invalid_image
from tritonpose_server.service.contract.schema import InferOptions, InferRequestBody, usable_log_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tritonpose_pipeline.thresholds import Threshold

_URL = re.compile(r"https?://", re.IGNORECASE)
_DATA_URI = re.compile(r"data:[^,]{0,200},", re.IGNORECASE)
_FOREIGN = re.compile(r"[^A-Za-z0-9+/=]")
_WHITESPACE = re.compile(r"[ \t\r\n]+")

_FEW_VALUES = 10_000
# Far more than a batch has, with people and regions. Each takes much more memory than its text.
_MOST_VALUES = 250_000

# Of lists and objects, and of what follows in them: none is in base64.
_STARTS = (b"[", b"{", b",")

_ADVICE = "send the bytes of an image file, base64-encoded"


@dataclass(frozen=True)
class KeypointRequest:
    """A request for the keypoints in an image.

    Attributes:
        image: The bytes of a file, supposedly an image; or the URL to fetch it from.
        det_threshold: Detector score that a person must exceed, 0 to 1, or of each class by its
            label or id; None for that of the served pipeline.
        log_id: The id that the client gave its request, None if it gave no usable one.
        person_boxes: People found elsewhere, float32 (N, 4); None where the detector is to look.
        roi: Corners of the region in which people count, float32 (M, 2); None for all of the image.
        fast_decode: Whether a large JPEG is decoded only as finely as the models look at it.
    """

    image: bytes | str
    det_threshold: Threshold | None
    visualize: bool
    log_id: str | None
    person_boxes: NDArray[np.float32] | None = None
    roi: NDArray[np.float32] | None = None
    fast_decode: bool | None = None

    def to_pipeline(self, image: bytes, log_id: str) -> InferRequest:
        """Make the pipeline's request of the image, once it is fetched."""
        return InferRequest(
            image=image,
            det_threshold=self.det_threshold,
            person_boxes=self.person_boxes,
            roi=self.roi,
            fast_decode=self.fast_decode,
            request_id=log_id,
        )


def parse_json(body: bytes | bytearray) -> object:
    """Parse JSON text; ServiceError 422 if it is not JSON, or has more values than any request.

    What the fast parser does not take may still be what PaddleX's takes: UTF-16 or UTF-32, text
    with a byte order mark, halves of surrogate pairs.
    """
    # No text has more values than half its bytes.
    if len(body) > 2 * _MOST_VALUES and sum(map(body.count, _STARTS)) > _MOST_VALUES:
        problem = f"the JSON has more than the {_MOST_VALUES} values that are accepted"
        raise invalid([("too_long", "body", problem)])
    document: object
    try:
        try:
            document = pydantic_core.from_json(body)
        except ValueError:
            # It would take seconds for many small values, and nothing else could run.
            if body.count(b",") > _FEW_VALUES:
                raise
            document = json.loads(body)
    except (ValueError, RecursionError) as error:
        message = f"JSON decode error: {error}{_hint(bytes(body[:32]))}"
        raise invalid([("json_invalid", "body", message)]) from None
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
        raise invalid(problems_of(error), log_id) from None
    except ServiceError as error:
        error.log_id = log_id
        raise
    return _request(image, fields, log_id, visualize=visualize)


def check_file(
    image: bytes | str, options: Mapping[str, str], *, where: str, visualize: bool
) -> KeypointRequest:
    """Check a request whose image came as a file, with options as texts, of which none is required.

    ``where`` the options are is for messages. Raises ServiceError 422 as `check_request` does.
    """
    log_id = usable_log_id(options.get("logId"))
    try:
        fields = InferOptions.model_validate({name: text for name, text in options.items() if text})
    except ValidationError as error:
        raise invalid(problems_of(error, where), log_id) from None
    if not image:
        raise invalid_image("image", "the image file is empty", log_id)
    return _request(image, fields, log_id, visualize=visualize)


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


def _request(
    image: bytes | str, options: InferOptions, log_id: str | None, *, visualize: bool
) -> KeypointRequest:
    return KeypointRequest(
        image=image,
        det_threshold=options.detThreshold,
        visualize=visualize if options.visualize is None else options.visualize,
        log_id=log_id,
        person_boxes=options.personBoxes,
        roi=options.roi,
        fast_decode=options.fastDecode,
    )


def _hint(begin: bytes) -> str:
    """Say what a body that is no JSON looks like, from its first bytes."""
    if begin.startswith(b"\x1f\x8b"):
        return "; it looks compressed: declare it with `Content-Encoding: gzip`"
    if is_server_format(begin):
        return "; it looks like an image file: declare it with `Content-Type: image/jpeg`"
    return ""


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


def problems_of(error: ValidationError, where: str = "body") -> list[tuple[str, str, str]]:
    """List what is wrong, as `invalid` takes it; ``where`` the fields are is for messages."""
    return [
        (each["type"], where + _location(each["loc"]), each["msg"])
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _location(path: Sequence[int | str]) -> str:
    """Write a path as PaddleX does: ``.image``, ``.list[3]``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
