"""``tritonpose serve``."""

from __future__ import annotations

import argparse
import logging
import sys
from typing import Any

from tritonpose.config import PIPELINE_NAME


def register(commands: Any) -> None:
    """Add the subcommand to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "serve",
        help="run an embedded Triton server until interrupted",
        description="Run an embedded Triton server that finds people and their keypoints, until "
        "interrupted. Its ports are for trusted clients only.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--pipeline",
        default=PIPELINE_NAME,
        metavar="NAME_OR_YAML",
        help="pipeline name, or a PaddleX pipeline YAML",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--grpc_port", type=int, default=8001, help="gRPC port")
    parser.add_argument("--http_port", type=int, default=8000, help="HTTP port")
    parser.add_argument("--metrics_port", type=int, default=8002, help="port of /metrics")
    parser.add_argument("--verbose", action="store_true", help="show all of Triton's log")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from tritonpose_server.serve import ServeError, serve

    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(message)s",
        level=logging.DEBUG if options.verbose else logging.INFO,
    )
    try:
        return serve(
            options.pipeline,
            address=options.host,
            grpc_port=options.grpc_port,
            http_port=options.http_port,
            metrics_port=options.metrics_port,
        )
    except ServeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
