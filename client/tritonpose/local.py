"""The pipeline in this process, where its engine is installed: ``url="local:"``."""

from __future__ import annotations

import os
import socket
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tritonpose.config import DetectorConfig, PipelineConfig
from tritonpose.errors import ConfigError
from tritonpose.transport import AsyncTransport, Transport
from tritonpose.transport.connection import check_timeout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tritonpose_server.local.engine import LocalEngine

LOCAL_URL = "local:"
DEFAULT_URL = "grpc://localhost:8001"

# Of a server on this machine: its port answers at once, or not at all.
_CONNECT_SECONDS = 0.5


def is_installed() -> bool:
    """Check whether this installation has the local engine, without importing it."""
    return all(find_spec(name) for name in ("tritonpose_server", "onnx")) and any(
        find_spec(name) for name in ("openvino", "onnxruntime")
    )


def default_url() -> str:
    """Choose where a pipeline runs if nobody says so.

    ``$TRITONPOSE_URL``, else a server on this machine's default port if one listens there, else
    the local engine if it is installed, else that port all the same.
    """
    named = os.environ.get("TRITONPOSE_URL")
    if named:
        return named
    return LOCAL_URL if not _listens(DEFAULT_URL) and is_installed() else DEFAULT_URL


def _listens(url: str) -> bool:
    address = urlsplit(url)
    try:
        with socket.create_connection((address.hostname, address.port or 0), _CONNECT_SECONDS):
            return True
    except OSError:
        return False


def local_transport(engine: LocalEngine, timeout: float) -> Transport:
    """Put an engine in the place of a server."""
    return Transport([engine], timeout, retries=0)


def async_local_transport(engine: LocalEngine, timeout: float) -> AsyncTransport:
    """Put an engine in the place of a server, for asyncio."""
    from tritonpose_server.local.engine import AsyncLocalEngine

    return AsyncTransport([AsyncLocalEngine(engine)], timeout, retries=0)


def make_engine(
    config: PipelineConfig,
    timeout: float,
    *,
    device: str | None = None,
    engine: str | None = None,
    engine_config: Mapping[str, Any] | None = None,
    strict_models: bool = False,
) -> LocalEngine:
    """Make the engine of a pipeline, which loads its models with the first image.

    With ``strict_models`` it is an error that an open model would stand in for one that can't be
    fetched; for the other arguments see `create_pipeline`. ConfigError: an argument is wrong, or no
    engine for it is installed.
    """
    check_timeout(timeout)
    if not is_installed():
        from tritonpose.extras import install_command

        raise ConfigError(f"url='local:' needs the local engine: {install_command('local')}")
    from tritonpose_server.local.engine import LocalEngine
    from tritonpose_server.local.options import LocalOptions

    options = LocalOptions.parse(device, engine, engine_config, strict_models=strict_models)
    return LocalEngine(config, options, timeout)


def request_settings(config: PipelineConfig) -> PipelineConfig:
    """Keep what requests to an engine say; the engine itself has the rest of the configuration."""
    return PipelineConfig(
        detector=DetectorConfig(threshold=config.detector.threshold),
        fast_decode=config.fast_decode,
    )
