"""A pipeline with a server of its own, for programs that run once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tritonpose.config import PIPELINE_NAME, PipelineConfig
from tritonpose.create import create_pipeline
from tritonpose.pipeline import HumanKeypointPipeline
from tritonpose_server.embedded.device import Device
from tritonpose_server.embedded.gpus import require_gpus
from tritonpose_server.embedded.options import ServerOptions
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.models.choice import choose_models


@contextmanager
def embedded_pipeline(
    pipeline: str | os.PathLike[str], device: str | None, report: Callable[[str], None]
) -> Iterator[HumanKeypointPipeline]:
    """Serve a pipeline as long as the context lasts.

    Args:
        pipeline: Pipeline name, or path of a PaddleX pipeline YAML.
        device: Where it computes, as PaddleX writes it; None for the CPU.
        report: Called with lines for the user.

    Yields:
        A client of the server, which needs no further settings.

    Raises:
        ConfigError: The configuration or the device is wrong.
        ConversionError: A model can't be converted.
        FetchError: The models can't be fetched.
        EmbeddedServerError: The server can't be started, or the device can't be used.
    """
    config = PipelineConfig.load(pipeline)
    place = None if device is None else Device.parse(device)
    if place is not None:
        # Before models are fetched and converted, which may take minutes.
        require_gpus(place.gpus)
    choice = choose_models(config, report)
    report("starting Triton")
    began = time.monotonic()
    with EmbeddedServer(choice.models, choice.settings, ServerOptions(device=place)) as server:
        report(f"Triton is ready after {time.monotonic() - began:.1f} s at {server.grpc_url}")
        # The server's defaults are those of the configuration: nothing is left to request.
        with create_pipeline(PIPELINE_NAME, url=server.grpc_url) as client:
            yield client
