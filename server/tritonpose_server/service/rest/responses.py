"""HTTP responses with the bodies of the contract."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from tritonpose_server.service.contract import error_body, notice_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tritonpose_server.service.contract import ServiceError

REQUEST_ID_HEADER = "X-Request-ID"

_RETRY_AFTER_SECONDS = 1


def json_response(
    body: bytes,
    log_id: str,
    status: int = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A response with a JSON body, whose ``logId`` is repeated as a header."""
    return Response(
        body,
        status,
        {**(headers or {}), REQUEST_ID_HEADER: log_id},
        media_type="application/json",
    )


def notice_response(message: str, log_id: str, **fields: Any) -> Response:
    """Make a response without a result; see `notice_body`."""
    return json_response(notice_body(message, log_id, **fields), log_id)


def error_response(
    error: ServiceError, log_id: str, headers: Mapping[str, str] | None = None
) -> Response:
    """The response to a request that failed."""
    extra = dict(headers or {})
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        extra["Retry-After"] = str(_RETRY_AFTER_SECONDS)
    return json_response(error_body(error, log_id), log_id, error.status, extra)
