"""Receiving the body of a request, within limits."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from tritonpose_server.service.contract import ServiceError

if TYPE_CHECKING:
    from starlette.requests import Request

    from tritonpose_server.service.rest.memory import Share
    from tritonpose_server.service.rest.settings import RestSettings

_JSON = re.compile(r"application/([\w.+-]+\+)?json\s*(;.*)?", re.IGNORECASE)


async def receive_json(request: Request, settings: RestSettings, memory: Share) -> bytearray:
    """Receives a body that claims to be JSON.

    Args:
        request: Its request.
        settings: The limits.
        memory: What the body takes is taken from it.

    Raises:
        ServiceError: 415 if it claims otherwise, 413 if it is too large, 408 if it doesn't
            arrive in time, 503 if there is no room for it.
        ClientDisconnect: The client is gone.
    """
    kind = request.headers.get("content-type", "")
    # Browsers let any web page send other types here, without asking us first.
    if not _JSON.fullmatch(kind.strip()):
        raise ServiceError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the body must be JSON with the header `Content-Type: application/json`, "
            f"got {kind[:100]!r}",
        )
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > settings.max_body_bytes:
        raise _too_large(settings.max_body_bytes)
    try:
        return await asyncio.wait_for(
            _receive(request, settings.max_body_bytes, memory), settings.receive_timeout
        )
    except asyncio.TimeoutError:
        raise ServiceError(
            HTTPStatus.REQUEST_TIMEOUT,
            f"the body did not arrive within {settings.receive_timeout:g} s",
        ) from None


async def _receive(request: Request, limit: int, memory: Share) -> bytearray:
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > limit:
            raise _too_large(limit)
        memory.take(len(chunk))
        body += chunk
    return body


def _too_large(limit: int) -> ServiceError:
    return ServiceError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body is larger than the {limit / 1e6:g} MB accepted: downscale or recompress the "
        "image",
    )
