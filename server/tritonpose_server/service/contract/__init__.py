"""PaddleX's service contract as pure functions, shared by the REST service and the HPS model.

A service reads a client's request with `parse_json` and `check_request`, estimates the poses and
answers with `success_body`. Every failure is a `ServiceError`, answered with `error_body`.
Nothing here depends on HTTP servers or on Triton.
"""
