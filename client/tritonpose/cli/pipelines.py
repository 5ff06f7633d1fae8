"""Open the pipeline that a command's options ask for."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpose.cli.console import print_status
from tritonpose.cli.parsing import credentials, warn_of_server_options, warn_without_effect
from tritonpose.cli.stand_ins import stand_in_detector
from tritonpose.config import PipelineConfig
from tritonpose.transport.connection import DEFAULT_TIMEOUT_SECONDS

if TYPE_CHECKING:
    from tritonpose.pipeline import HumanKeypointPipeline


@contextmanager
def open_pipeline(options: argparse.Namespace) -> Iterator[HumanKeypointPipeline]:
    """Open the pipeline on the server of ``--url``, else where `default_url` says."""
    from tritonpose.local import (
        LOCAL_URL,
        default_url,
        local_transport,
        make_engine,
        request_settings,
    )

    # Only images of files can be decoded faster: `track` has no such option.
    fast_decode = getattr(options, "fast_decode", False)
    url = default_url() if options.url is None else options.url
    if url == LOCAL_URL:
        from tritonpose.pipeline import HumanKeypointPipeline

        config = replace(PipelineConfig.load(options.pipeline), fast_decode=fast_decode)
        engine = make_engine(
            config,
            DEFAULT_TIMEOUT_SECONDS,
            device=options.device,
            strict_models=options.strict_models,
        )
        warn_without_effect(options)
        print_status("running in this process")
        engine.load(print_status)
        transport = local_transport(engine, DEFAULT_TIMEOUT_SECONDS)
        with HumanKeypointPipeline(transport, request_settings(config)) as pipeline:
            yield pipeline
        return
    from tritonpose.create import create_pipeline

    if options.url is None:
        print_status(f"using the server at {url}")
    pipeline = create_pipeline(
        options.pipeline,
        device=options.device,
        url=url,
        fast_decode=fast_decode,
        **credentials(options),
    )
    with pipeline:
        # Behind the errors in what was asked for.
        warn_without_effect(options)
        warn_of_server_options(options, url, "device", "strict_models")
        yield pipeline


def stand_in(options: argparse.Namespace) -> str | None:
    """Name the detector that stands in for PaddleX's, as far as that is known here."""
    if options.url is not None:
        return None
    return stand_in_detector(PipelineConfig.load(options.pipeline))


def missing_file(name: str) -> str | None:
    """Say that an input is a file that isn't there; None for all others.

    Loading models takes seconds: misspelled names are reported before.
    """
    from tritonpose.inputs.addresses import local_path
    from tritonpose.inputs.files import missing

    path = local_path(name)
    try:
        if "://" not in path:
            Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return missing(path)
    except (OSError, ValueError):
        pass  # reported when the input is read
    return None
