"""PaddleX's service contract as pure functions, shared by the REST service and the HPS model.

A face reads what a client sent with `parse_json` and `check_request`, has the poses estimated and
answers with `success_body`. Whatever goes wrong is a `ServiceError`, answered with `error_body`.
Nothing here knows of HTTP servers or of Triton.
"""

from tritonpose_server.service.contract.answers import error_body, notice_body, success_body
from tritonpose_server.service.contract.failures import ServiceError
from tritonpose_server.service.contract.log_id import choose_log_id
from tritonpose_server.service.contract.requests import KeypointRequest, check_request, parse_json
from tritonpose_server.service.contract.schema import (
    InferRequest,
    InferResponse,
    NoResultResponse,
    ReadyResponse,
)

__all__ = [
    "InferRequest",
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
