"""The REST service: PaddleX's contract over HTTP, in front of a Triton server."""

from tritonpose.extras import require_extra

require_extra(
    "service",
    *("certifi", "fastapi", "fastapi_offline", "httpcore", "httptools", "httpx"),
    *("prometheus_client", "pybase64", "pydantic", "starlette", "uvicorn", "uvloop"),
)
