"""PaddleX's high-stability serving: the contract in tensors, independent of Triton's API."""

from tritonpose.extras import require_extra

require_extra("triton", "PIL", "certifi", "httpcore", "httptools", "httpx", "pybase64", "pydantic")
