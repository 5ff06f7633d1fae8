"""PaddleX's service contract as pure functions, shared by the REST service and the HPS model.

A service reads a client's request with `parse_json` and `check_request`, estimates the poses and
answers with `success_body`. Every failure is a `ServiceError`, answered with `error_body`.
Nothing here depends on HTTP servers or on Triton.
"""

from tritonpose_server.service.contract.answers import error_body, notice_body, success_body
from tritonpose_server.service.contract.failures import ServiceError
from tritonpose_server.service.contract.requests import KeypointRequest, check_request, parse_json
from tritonpose_server.service.contract.schema import (
    InferRequestBody,
    InferResponse,
    NoResultResponse,
    ReadyResponse,
    choose_log_id,
)

__all__ = [
    "InferRequestBody",
    "InferResponse",
    "KeypointRequest",
    "NoResultResponse",
    "ReadyResponse",
    "ServiceError",
    "check_request",
    "choose_log_id",
    "error_body",
    "notice_body",
    "parse_json",
    "success_body",
]
