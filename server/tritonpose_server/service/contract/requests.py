"""From the JSON body of a request to what is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pydantic_core
from pydantic import ValidationError

from tritonpose_server.service.contract.failures import Problem, ServiceError, invalid
from tritonpose_server.service.contract.image_field import read_image
from tritonpose_server.service.contract.log_id import usable_log_id
from tritonpose_server.service.contract.schema import InferRequest

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class KeypointRequest:
    """What a client asks for.

    Attributes:
        image: The bytes of a file, supposedly an image; or the URL to fetch it from.
        det_threshold: Lowest detection score, 0 to 1; None for that of the served pipeline.
        visualize: Whether the answer is to have the image with the poses drawn on it.
        log_id: The name that the client gave its request, None if it gave no usable one.
    """

    image: bytes | str
    det_threshold: float | None
    visualize: bool
    log_id: str | None


def parse_json(body: bytes | bytearray) -> object:
    """Reads JSON text, UTF-8.

    Raises:
        ServiceError: 422 if it is none.
    """
    try:
        document: object = pydantic_core.from_json(body)
    except ValueError as error:
        raise invalid([Problem("json_invalid", "body", f"JSON decode error: {error}")]) from None
    return document


def check_request(document: object, *, visualize: bool) -> KeypointRequest:
    """Checks what the JSON text of a request said.

    Numbers and booleans may be strings that spell them, as PaddleX allows.

    Args:
        document: The parsed text.
        visualize: What holds for a request that doesn't say.

    Raises:
        ServiceError: 422 where the request is malformed. Its ``log_id`` is that of the request,
            if it has one.
    """
    log_id = usable_log_id(document.get("logId")) if isinstance(document, dict) else None
    try:
        fields = InferRequest.model_validate(document, from_attributes=True)
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


def _problems(error: ValidationError) -> list[Problem]:
    return [
        Problem(each["type"], _location(each["loc"]), each["msg"])
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _location(path: Sequence[int | str]) -> str:
    """Writes a path as PaddleX does: ``body.image``, ``body.list[3]``."""
    return "body" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
