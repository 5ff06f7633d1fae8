"""``tritonpose serve``, which is also what PaddleX's ``--serve`` means."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tritonpose.cli.console import LogOptions, log_service, print_status
from tritonpose.cli.parsing import (
    add_device,
    add_paddlex_only,
    add_pipeline,
    add_port,
    add_verbose,
    command_parser,
    positive_seconds,
    tell_without_effect,
)
from tritonpose.config import PipelineConfig
from tritonpose_server.cli.rest_options import add_rest_options, rest_settings

if TYPE_CHECKING:
    from tritonpose_server.embedded.tuning.settings import Tuning
    from tritonpose_server.service.rest.settings import RestSettings

_DESCRIPTION = """\
Run a server until interrupted: Triton, and in front of it PaddleX's REST service with a web page.
Triton's own ports are for trusted clients: they listen on this machine only, unless --triton_host
says otherwise. So does the REST service, unless --host does."""
_EXAMPLES = """\
  tritonpose serve
  tritonpose serve --pipeline my_pipeline.yaml --host 0.0.0.0 --port 8080
  tritonpose serve --tuning tuning.yaml             made by `tritonpose tune`, or by hand
  tritonpose serve --host 0.0.0.0 --api_key_file keys --cert_file cert.pem --key_file key.pem
  tritonpose serve --url grpc://triton:8001         only the REST service, for another Triton
  tritonpose --serve --pipeline human_keypoint_detection --port 8080     (as paddlex)
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command.

    Args:
        arguments: Its command line.

    Returns:
        Exit status: 0 after SIGINT or SIGTERM.

    Raises:
        ConfigError: The pipeline's configuration, the device, the tuning, the URL or an option of
            the REST service is wrong.
        TritonPoseError: The server can't be started.
        OSError: A port can't be listened on.
    """
    parser = command_parser("serve", "[options]", _DESCRIPTION, _EXAMPLES)
    _add_options(parser)
    options = parser.parse_args(arguments)
    log = LogOptions(verbose=options.verbose, json=options.log_format == "json")
    log_service(log)
    tell_without_effect(options)
    if options.url is not None:
        for flag in ("device", "tuning"):
            if getattr(options, flag) is not None:
                print_status(f"--{flag} has no effect: the server at {options.url} has its own")
        return _serve_rest_alone(options)
    return _serve_everything(options, log)


def _serve_everything(options: argparse.Namespace, log: LogOptions) -> int:
    from tritonpose_server.cli.serving import serve
    from tritonpose_server.embedded.device import Device
    from tritonpose_server.embedded.options import ServerOptions
    from tritonpose_server.embedded.tuning.settings import Tuning

    triton = ServerOptions(
        address=options.triton_host,
        grpc_port=options.grpc_port,
        http_port=options.http_port,
        metrics_port=options.metrics_port,
        stop_timeout=options.stop_timeout,
        control_key=os.environ.get("TRITONPOSE_CONTROL_KEY") or None,
        device=None if options.device is None else Device.parse(options.device),
        tuning=Tuning() if options.tuning is None else _load_tuning(options.tuning),
    )
    serve(options.pipeline, triton, _rest_settings(options, triton_url=""), log)
    return 0


def _load_tuning(path: str) -> Tuning:
    """Read a tuning file and tell what it says."""
    from tritonpose_server.embedded.tuning.describe import describe, doubts
    from tritonpose_server.embedded.tuning.file import load
    from tritonpose_server.engines.cores import available_cores

    tuning = load(path)
    print_status(f"tuning of {path}: {describe(tuning)}")
    for doubt in doubts(tuning, available_cores()):
        print_status(f"warning: {doubt}")
    return tuning


def _serve_rest_alone(options: argparse.Namespace) -> int:
    from tritonpose_server.service.rest.run import run_rest

    visualize = PipelineConfig.load(options.pipeline).visualize is not False
    run_rest(replace(_rest_settings(options, triton_url=options.url), visualize=visualize))
    return 0


def _rest_settings(options: argparse.Namespace, triton_url: str) -> RestSettings:
    return replace(rest_settings(options, triton_url), shutdown_timeout=options.stop_timeout)


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_pipeline(parser)
    add_device(parser)
    parser.add_argument(
        "--triton_host",
        default="127.0.0.1",
        metavar="HOST",
        help="address of Triton's own ports (default: %(default)s)",
    )
    add_port(parser, "--grpc_port", 8001, "Triton's gRPC port")
    add_port(parser, "--http_port", 8000, "Triton's HTTP port")
    add_port(parser, "--metrics_port", 8002, "port of Triton's /metrics")
    parser.add_argument(
        "--tuning",
        metavar="FILE",
        help="threads, streams, batches and queues, in a file as `tritonpose tune` writes it",
    )
    parser.add_argument(
        "--url",
        metavar="URL",
        help="start no Triton but use this one, grpc://HOST:PORT or http://HOST:PORT, with its "
        "own models",
    )
    parser.add_argument(
        "--stop_timeout",
        type=positive_seconds,
        default=10.0,
        metavar="SECONDS",
        help="for requests under way when the service is told to stop (default: %(default)g)",
    )
    parser.add_argument(
        "--log_format",
        choices=("text", "json"),
        default="text",
        help="lines of the log as text, or as JSON objects (default: %(default)s)",
    )
    add_rest_options(parser)
    add_verbose(parser)
    add_paddlex_only(parser)
