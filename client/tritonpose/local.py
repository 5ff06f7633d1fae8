"""The pipeline in this process, where its engine is installed: ``url="local:"``."""

from __future__ import annotations

import os
import socket
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tritonpose.errors import ConfigError
from tritonpose.extras import install_command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tritonpose.config import PipelineConfig
    from tritonpose.transport import AsyncTransport, Transport
    from tritonpose_server.local.engine import LocalEngine

LOCAL_URL = "local:"
DEFAULT_URL = "grpc://localhost:8001"

# Of a server on this machine: its port answers at once, or not at all.
_CONNECT_SECONDS = 0.5


def is_local(url: str | Sequence[str]) -> bool:
    """Check whether a URL names the engine in this process instead of servers."""
    return isinstance(url, str) and url.strip() == LOCAL_URL


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
        with socket.create_connection((address.hostname, address.port), _CONNECT_SECONDS):
            return True
    except OSError:
        return False


def local_transport(config: PipelineConfig, timeout: float, **placement: Any) -> Transport:
    """Prepare the engine of a pipeline, loaded with the first image; see `_make_engine`."""
    from tritonpose.transport import Transport

    return Transport([_make_engine(config, timeout, **placement)], timeout, retries=0)


def async_local_transport(
    config: PipelineConfig, timeout: float, **placement: Any
) -> AsyncTransport:
    """Prepare the engine of a pipeline for asyncio; see `local_transport`."""
    from tritonpose.transport import AsyncTransport
    from tritonpose_server.local.engine import AsyncLocalEngine

    engine = AsyncLocalEngine(_make_engine(config, timeout, **placement))
    return AsyncTransport([engine], timeout, retries=0)


def _make_engine(
    config: PipelineConfig,
    timeout: float,
    *,
    device: str | None = None,
    engine: str | None = None,
    engine_config: Mapping[str, Any] | None = None,
    strict_models: bool = False,
) -> LocalEngine:
    """Make an engine; raise ConfigError if it is not installed, or an argument is wrong."""
    if not is_installed():
        raise ConfigError(f"url='local:' needs the local engine: {install_command('local')}")
    from tritonpose_server.local.engine import LocalEngine
    from tritonpose_server.local.options import LocalOptions

    options = LocalOptions.parse(device, engine, engine_config, strict_models=strict_models)
    return LocalEngine(config, options, timeout)
