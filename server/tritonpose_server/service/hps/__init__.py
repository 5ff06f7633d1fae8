"""PaddleX's high-stability serving: the contract in tensors, independent of Triton's API."""

from tritonpose_server.service import require_extra

require_extra("triton", "PIL", "certifi", "httpcore", "httptools", "httpx", "pybase64", "pydantic")
