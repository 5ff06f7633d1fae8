"""``create_pipeline``, with PaddleX's arguments."""

from __future__ import annotations

import os
import re
import warnings
from typing import TYPE_CHECKING, Any

from tritonpose.config import PipelineConfig
from tritonpose.errors import ConfigError
from tritonpose.pipeline import HumanKeypointPipeline
from tritonpose.transport import connect

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_URL = "grpc://localhost:8001"

# PaddleX's device types; all but cpu take a list of device numbers.
_DEVICE = re.compile(
    r"cpu|(gpu|xpu|npu|mlu|gcu|dcu|iluvatar_gpu|metax_gpu)(:\d+(,\d+)*)?", re.IGNORECASE
)


def create_pipeline(
    pipeline: str | os.PathLike[str] | None = None,
    config: Mapping[str, Any] | None = None,
    device: str | None = None,
    use_hpip: bool = False,  # noqa: ARG001 (see below)
    *,
    url: str | None = None,
    timeout: float = 60.0,
    max_in_flight: int = 8,
) -> HumanKeypointPipeline:
    """Connects to a server that runs PaddleX's human keypoint pipeline.

    Nothing is sent before the first image, so this succeeds without a server.

    Args:
        pipeline: ``human_keypoint_detection``, or the path of a PaddleX pipeline YAML. The name
            asks for no particular models: the server's own are used.
        config: The content of such a file as a dict; takes precedence over `pipeline`, whose
            name must agree.
        device: Checked, as PaddleX would, and then unused: the server decides where it runs.
        use_hpip: Accepted for PaddleX's sake and unused, for the same reason.
        url: ``grpc://host:port`` or ``http://host:port``; default $TRITONPOSE_URL, else
            ``grpc://localhost:8001``.
        timeout: Seconds that each request may take.
        max_in_flight: How many images may be under way at once.

    Raises:
        ConfigError: An argument, the file or the URL is wrong.
    """
    if device is not None and not _DEVICE.fullmatch(str(device)):
        raise ConfigError(f"device={device!r}: expected cpu, gpu, gpu:0, gpu:0,1, npu:0 or alike")
    parsed = PipelineConfig.load(pipeline, config)
    _warn_of_server_settings(parsed)
    address = url or os.environ.get("TRITONPOSE_URL") or DEFAULT_URL
    return HumanKeypointPipeline(connect(address, timeout), parsed, max_in_flight=max_in_flight)


def _warn_of_server_settings(config: PipelineConfig) -> None:
    """Warns of settings that no request can carry."""
    settings = {
        "ObjectDetection.model_dir": config.detector.model_dir,
        "ObjectDetection.img_size": config.detector.img_size,
        "KeypointDetection.model_dir": config.keypoint.model_dir,
    }
    used = [name for name, value in settings.items() if value is not None]
    if used:
        warnings.warn(
            f"{', '.join(used)}: this takes effect where the server is started with this "
            "pipeline file (tritonpose serve --pipeline FILE), not in the client",
            stacklevel=3,
        )
