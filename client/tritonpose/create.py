"""``create_pipeline``, with PaddleX's arguments, and its asynchronous twin."""

from __future__ import annotations

import os
import re
import warnings
from typing import TYPE_CHECKING, Any

from tritonpose.async_pipeline import AsyncPipeline
from tritonpose.config import PipelineConfig
from tritonpose.errors import ConfigError
from tritonpose.pipeline import HumanKeypointPipeline
from tritonpose.transport import connect, connect_async
from tritonpose.transport.connection import DEFAULT_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Unpack

    from tritonpose.transport.connection import ConnectionOptions

DEFAULT_URL = "grpc://localhost:8001"

# PaddleX's device types; all but cpu take a list of device numbers.
_DEVICE = re.compile(
    r"cpu|(gpu|xpu|npu|mlu|gcu|dcu|iluvatar_gpu|metax_gpu)(:\d+(,\d+)*)?", re.IGNORECASE
)


def create_pipeline(
    pipeline: str | os.PathLike[str] | None = None,
    config: Mapping[str, Any] | None = None,
    device: str | None = None,
    use_hpip: bool | None = False,  # noqa: ARG001 (see below)
    hpi_config: Mapping[str, Any] | None = None,  # noqa: ARG001 (see below)
    *,
    url: str | Sequence[str] | None = None,
    timeout: float = DEFAULT_TIMEOUT_SECONDS,
    max_in_flight: int = 8,
    **connection: Unpack[ConnectionOptions],
) -> HumanKeypointPipeline:
    """Connect to a server that runs PaddleX's human keypoint pipeline.

    Nothing is sent before the first image, so this succeeds without a server.

    Args:
        pipeline: ``human_keypoint_detection``, or the path of a PaddleX pipeline YAML. The name
            asks for no particular models: the server's own are used.
        config: The content of such a file as a dict; takes precedence over `pipeline`, whose
            name must agree.
        device: Checked, as PaddleX would, and then unused: the server decides where it runs.
        use_hpip: Accepted for PaddleX's sake and unused, for the same reason.
        hpi_config: As `use_hpip`.
        url: ``grpc://host:port`` or ``http://host:port``, with encryption ``grpcs://`` or
            ``https://``; several servers as a list, or separated by commas. Default
            $TRITONPOSE_URL, else ``grpc://localhost:8001``.
        timeout: Seconds that each request may take, over all attempts.
        max_in_flight: How many images may be in flight at once.
        **connection: `retries`, how often a request that no server takes is sent again (4);
            `headers`, sent with each request; `api_key`, sent as ``authorization:
            Bearer API_KEY``; `ca_file`, `cert_file` and `key_file`, PEM files for encryption:
            the certificates to trust, and the client's own with its key.

    Raises:
        ConfigError: An argument, the file or the URL is wrong.
    """
    return HumanKeypointPipeline(
        connect(_address(url), timeout, **connection),
        _checked_config(pipeline, config, device),
        max_in_flight=max_in_flight,
    )


def create_async_pipeline(
    pipeline: str | os.PathLike[str] | None = None,
    config: Mapping[str, Any] | None = None,
    device: str | None = None,
    use_hpip: bool | None = False,  # noqa: ARG001 (see below)
    hpi_config: Mapping[str, Any] | None = None,  # noqa: ARG001 (see below)
    *,
    url: str | Sequence[str] | None = None,
    timeout: float = DEFAULT_TIMEOUT_SECONDS,
    max_in_flight: int = 8,
    **connection: Unpack[ConnectionOptions],
) -> AsyncPipeline:
    """Connect to a server that runs PaddleX's human keypoint pipeline, for asyncio.

    The arguments are those of `create_pipeline`. No event loop need be running; the first
    request binds the pipeline to its own.
    """
    return AsyncPipeline(
        connect_async(_address(url), timeout, **connection),
        _checked_config(pipeline, config, device),
        max_in_flight=max_in_flight,
    )


def _address(url: str | Sequence[str] | None) -> str | Sequence[str]:
    return url or os.environ.get("TRITONPOSE_URL") or DEFAULT_URL


def _checked_config(
    pipeline: str | os.PathLike[str] | None, config: Mapping[str, Any] | None, device: str | None
) -> PipelineConfig:
    """Read the configuration; raise ConfigError, and warn of what no request can carry."""
    if device is not None and not _DEVICE.fullmatch(str(device)):
        raise ConfigError(f"device={device!r}: expected cpu, gpu, gpu:0, gpu:0,1, npu:0 or alike")
    parsed = PipelineConfig.load(pipeline, config)
    settings = {
        "ObjectDetection.model_dir": parsed.detector.model_dir,
        "ObjectDetection.img_size": parsed.detector.img_size,
        "ObjectDetection.classes": parsed.detector.classes,
        "KeypointDetection.model_dir": parsed.keypoint.model_dir,
    }
    used = [name for name, value in settings.items() if value is not None]
    if used:
        warnings.warn(
            f"{', '.join(used)}: this takes effect where the server is started with this "
            "pipeline file (tritonpose serve --pipeline FILE), not in the client",
            stacklevel=3,
        )
    return parsed
