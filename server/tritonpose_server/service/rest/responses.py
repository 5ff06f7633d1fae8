"""HTTP responses: the contract's bodies, the id of the request, what the log says of it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.responses import Response

from tritonpose_server.service.contract.answers import error_body, notice_body
from tritonpose_server.service.contract.schema import choose_log_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Scope

    from tritonpose_server.service.contract.failures import ServiceError

REQUEST_ID_HEADER = "X-Request-ID"
NDJSON = "application/x-ndjson"

LOG_FIELDS_KEY = "tritonpose.log_fields"
_REQUEST_ID_KEY = "tritonpose.request_id"
_RETRY_AFTER_SECONDS = 1


def request_id(scope: Scope) -> str:
    """Return the id of a request: that of its body, or else of its header, or else a new one."""
    if _REQUEST_ID_KEY not in scope:
        scope[_REQUEST_ID_KEY] = choose_log_id(Headers(scope=scope).get(REQUEST_ID_HEADER))
    log_id: str = scope[_REQUEST_ID_KEY]
    return log_id


def set_request_id(scope: Scope, log_id: str | None) -> None:
    """Set the id that the body of a request gives it; None for none."""
    if log_id is not None:
        scope[_REQUEST_ID_KEY] = log_id


def add_log_fields(scope: Scope, **fields: int | str) -> None:
    """Add fields to the request's line in the log; `reason` is for the metrics, too."""
    scope.setdefault(LOG_FIELDS_KEY, {}).update(fields)


def note_reason(scope: Scope, error: ServiceError) -> None:
    """Note why a request gets no result, where its status doesn't tell."""
    if error.reason is not None:
        add_log_fields(scope, reason=error.reason)


def json_response(
    body: bytes,
    log_id: str,
    status: int = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Make a response with a JSON body, whose ``logId`` is repeated as a header."""
    return Response(
        body,
        status,
        {**(headers or {}), REQUEST_ID_HEADER: log_id},
        media_type="application/json",
    )


def notice_response(message: str, log_id: str, **fields: Any) -> Response:
    """Make a response without a result; see `notice_body`."""
    return json_response(notice_body(message, log_id, **fields), log_id)


def refusal(
    scope: Scope, error: ServiceError, headers: Mapping[str, str] | None = None
) -> Response:
    """Make the response to a request that failed, and note why it did."""
    note_reason(scope, error)
    set_request_id(scope, error.log_id)
    return error_response(error, request_id(scope), headers)


def error_response(
    error: ServiceError, log_id: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Make the response to a request that failed, where nothing is known of it but its id."""
    extra = dict(headers or {})
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        extra["Retry-After"] = str(_RETRY_AFTER_SECONDS)
    if error.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        extra["Accept-Encoding"] = "gzip, deflate"
    return json_response(error_body(error, log_id), log_id, error.status, extra)
