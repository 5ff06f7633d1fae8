"""``create_pipeline``, with PaddleX's arguments, and its asynchronous twin."""

from __future__ import annotations

import logging
import re
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tritonpose.async_pipeline import AsyncPipeline
from tritonpose.config import PipelineConfig
from tritonpose.errors import ConfigError
from tritonpose.local import (
    LOCAL_URL,
    async_local_transport,
    default_url,
    local_transport,
    make_engine,
    request_settings,
)
from tritonpose.pipeline import HumanKeypointPipeline
from tritonpose.transport import connect, connect_async
from tritonpose.transport.connection import DEFAULT_TIMEOUT_SECONDS, ConnectionOptions

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import Unpack

    from tritonpose.base_pipeline import AnyTransport

LOGGER = logging.getLogger("tritonpose")

# PaddleX's device types; all but cpu take a list of device numbers.
_DEVICE = re.compile(
    r"cpu|(gpu|xpu|npu|mlu|gcu|dcu|iluvatar_gpu|metax_gpu)(:\d+(,\d+)*)?", re.IGNORECASE
)


def create_pipeline(
    pipeline: str | os.PathLike[str] | None = None,
    config: Mapping[str, Any] | None = None,
    device: str | None = None,
    use_hpip: bool | None = False,
    hpi_config: Mapping[str, Any] | None = None,
    *,
    engine: str | None = None,
    engine_config: Mapping[str, Any] | None = None,
    pp_option: object = None,
    url: str | Sequence[str] | None = None,
    timeout: float = DEFAULT_TIMEOUT_SECONDS,
    max_in_flight: int = 8,
    fast_decode: bool = False,
    **connection: Unpack[ConnectionOptions],
) -> HumanKeypointPipeline:
    """Make PaddleX's human keypoint pipeline, run by a server or in this process.

    Nothing is sent, converted or loaded before the first image, so this succeeds without a server.

    Args:
        pipeline: ``human_keypoint_detection``, or the path of a PaddleX pipeline YAML. The name
            asks a server for no particular models: its own are used.
        config: The content of such a file as a dict; takes precedence over `pipeline`, whose
            name must agree.
        device: Where models compute in this process: ``cpu`` (default), ``gpu`` or ``gpu:1``. A
            server decides for itself.
        use_hpip: Accepted for PaddleX's sake and unused.
        hpi_config: As `use_hpip`.
        engine: What runs the models in this process: ``openvino`` (default on CPUs) or
            ``onnxruntime``. A server decides for itself.
        engine_config: Of that engine: ``cpu_threads``, ``streams``, ``precision`` (``fp32`` or
            ``bf16``).
        pp_option: As `use_hpip`.
        url: ``grpc://host:port`` or ``http://host:port``, with encryption ``grpcs://`` or
            ``https://``; several servers as a list, or separated by commas; ``local:`` for this
            process. Default $TRITONPOSE_URL, else ``grpc://localhost:8001`` if a server listens
            there, else ``local:`` if it is installed.
        timeout: Seconds that each request may take, over all attempts.
        max_in_flight: How many images may be in flight at once.
        fast_decode: Decode JPEGs that are much larger than people's crops at a half, a quarter or
            an eighth of their size, which takes less time and changes results a little.
        **connection: `retries`, how often a request that no server takes is sent again (4);
            `headers`, sent with each request; `api_key`, sent as ``authorization:
            Bearer API_KEY``; `ca_file`, `cert_file` and `key_file`, PEM files for encryption:
            the certificates to trust, and the client's own with its key.

    Raises:
        ConfigError: An argument, the file or the URL is wrong, or what it asks for is not
            installed.
    """
    _check_names("create_pipeline", connection)
    parsed = replace(PipelineConfig.load(pipeline, config), fast_decode=fast_decode)
    _warn_unused(use_hpip=use_hpip, hpi_config=hpi_config, pp_option=pp_option)
    chosen = {"device": device, "engine": engine, "engine_config": engine_config}
    transport, settings = _open(connect, local_transport, parsed, url, timeout, chosen, connection)
    return HumanKeypointPipeline(transport, settings, max_in_flight=max_in_flight)


def create_async_pipeline(
    pipeline: str | os.PathLike[str] | None = None,
    config: Mapping[str, Any] | None = None,
    device: str | None = None,
    use_hpip: bool | None = False,
    hpi_config: Mapping[str, Any] | None = None,
    *,
    engine: str | None = None,
    engine_config: Mapping[str, Any] | None = None,
    pp_option: object = None,
    url: str | Sequence[str] | None = None,
    timeout: float = DEFAULT_TIMEOUT_SECONDS,
    max_in_flight: int = 8,
    fast_decode: bool = False,
    **connection: Unpack[ConnectionOptions],
) -> AsyncPipeline:
    """Make PaddleX's human keypoint pipeline for asyncio.

    The arguments are those of `create_pipeline`. No event loop need be running; the first
    request binds the pipeline to its own.
    """
    _check_names("create_async_pipeline", connection)
    parsed = replace(PipelineConfig.load(pipeline, config), fast_decode=fast_decode)
    _warn_unused(use_hpip=use_hpip, hpi_config=hpi_config, pp_option=pp_option)
    chosen = {"device": device, "engine": engine, "engine_config": engine_config}
    transport, settings = _open(
        connect_async, async_local_transport, parsed, url, timeout, chosen, connection
    )
    return AsyncPipeline(transport, settings, max_in_flight=max_in_flight)


def _open(
    connect_to: Callable[..., AnyTransport],
    run_here: Callable[[Any, float], AnyTransport],
    config: PipelineConfig,
    url: str | Sequence[str] | None,
    timeout: float,
    chosen: Mapping[str, Any],
    connection: Mapping[str, Any],
) -> tuple[AnyTransport, PipelineConfig]:
    """Make the transport to where the pipeline runs; also return what its requests say.

    ``chosen`` are the arguments of `make_engine`, ``connection`` those of `connect`.
    """
    place = _place(url)
    if place == LOCAL_URL:
        _check_unconnected(connection)
        engine = make_engine(config, timeout, **chosen)
        return run_here(engine, timeout), request_settings(config)
    _check_served(config, **chosen)
    return connect_to(place, timeout, **connection), config


def _place(url: str | Sequence[str] | None) -> str | Sequence[str]:
    """Choose where the pipeline runs, and log it where the caller hasn't."""
    if isinstance(url, str) and url.strip() == LOCAL_URL:
        return LOCAL_URL
    if url is not None:
        return url
    place = default_url()
    LOGGER.info(
        "the pipeline runs %s",
        "in this process" if place == LOCAL_URL else f"on the server at {place}",
    )
    return place


def _check_names(function: str, connection: Mapping[str, object]) -> None:
    """Raise TypeError for unknown arguments, in the name of the function that was called."""
    unknown = [name for name in connection if name not in ConnectionOptions.__annotations__]
    if unknown:
        raise TypeError(f"{function}() got an unexpected keyword argument {unknown[0]!r}")


def _check_unconnected(connection: Mapping[str, object]) -> None:
    """Raise ConfigError where arguments are for a server, but there is none."""
    given = [name for name, value in connection.items() if value is not None]
    if given:
        raise ConfigError(
            f"{', '.join(given)}: for a server, but the pipeline runs in this process: name a "
            "server by url=..."
        )


def _warn_unused(**given: object) -> None:
    """Warn of PaddleX's arguments that have no effect."""
    unused = [name for name, value in given.items() if value]
    if unused:
        warnings.warn(
            f"{', '.join(unused)}: without effect, as models run as ONNX; what you can choose is "
            "engine=... and engine_config=...",
            stacklevel=3,
        )


def _check_served(config: PipelineConfig, device: str | None, **engine: object) -> None:
    """Raise ConfigError for what is wrong, and warn of what no request can carry to a server."""
    if device is not None and not _DEVICE.fullmatch(str(device)):
        raise ConfigError(f"device={device!r}: expected cpu, gpu, gpu:0, gpu:0,1, npu:0 or alike")
    settings = {
        "ObjectDetection.model_dir": config.detector.model_dir,
        "ObjectDetection.img_size": config.detector.img_size,
        "ObjectDetection.classes": config.detector.classes,
        "KeypointDetection.model_dir": config.keypoint.model_dir,
    }
    used = [name for name, value in {**settings, **engine}.items() if value is not None]
    if used:
        warnings.warn(
            f"{', '.join(used)}: this takes effect where the server is started (tritonpose serve "
            "--pipeline FILE, --tuning FILE), or in this process with url='local:', not in the "
            "client",
            stacklevel=4,
        )
