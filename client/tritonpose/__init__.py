"""Human keypoint detection on an NVIDIA Triton server, with PaddleX's interface.

    from tritonpose import create_pipeline

    with create_pipeline("human_keypoint_detection", url="grpc://localhost:8001") as pipeline:
        for res in pipeline.predict("photo.jpg", det_threshold=0.5):
            res.print()
            res.save_to_img("./output/")

`create_async_pipeline` is its twin for asyncio.

The names below are imported when first used, so that ``import tritonpose`` costs next to
nothing in a service that may never send an image.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tritonpose.async_pipeline import AsyncPipeline
    from tritonpose.create import create_async_pipeline, create_pipeline
    from tritonpose.errors import (
        AccessDeniedError,
        ConfigError,
        DeadlineExceededError,
        InputError,
        InvalidRequestError,
        ModelNotFoundError,
        ServerError,
        ServerUnavailableError,
        TritonPoseError,
    )
    from tritonpose.pipeline import HumanKeypointPipeline
    from tritonpose.result import KeypointResult

    __version__: str

__all__ = [
    "AccessDeniedError",
    "AsyncPipeline",
    "ConfigError",
    "DeadlineExceededError",
    "HumanKeypointPipeline",
    "InputError",
    "InvalidRequestError",
    "KeypointResult",
    "ModelNotFoundError",
    "ServerError",
    "ServerUnavailableError",
    "TritonPoseError",
    "__version__",
    "create_async_pipeline",
    "create_pipeline",
]

_HOMES = {
    "AsyncPipeline": "tritonpose.async_pipeline",
    "HumanKeypointPipeline": "tritonpose.pipeline",
    "KeypointResult": "tritonpose.result",
    "create_async_pipeline": "tritonpose.create",
    "create_pipeline": "tritonpose.create",
}


def __getattr__(name: str) -> object:
    """Import an exported name on first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object
    if name == "__version__":
        from importlib.metadata import version

        value = version("tritonpose")
    else:
        value = getattr(import_module(_HOMES.get(name, "tritonpose.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
