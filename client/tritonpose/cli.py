"""The command ``tritonpose``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from tritonpose.config import PIPELINE_NAME
from tritonpose.errors import TritonPoseError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Command line without the program's name; default: that of the process.

    Returns:
        Exit status.
    """
    options = _parse(arguments)
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(message)s",
        level=logging.DEBUG if options.verbose else logging.INFO,
    )
    try:
        # Not part of the client: it needs tritonserver and its engines.
        from tritonpose_server.serve import ServeError, serve
    except ImportError as error:
        print(
            f"error: {error}; the server needs `pip install 'tritonpose[server,conversion]'`",
            file=sys.stderr,
        )
        return 1
    try:
        return serve(
            options.pipeline,
            address=options.host,
            grpc_port=options.grpc_port,
            http_port=options.http_port,
            metrics_port=options.metrics_port,
        )
    except (TritonPoseError, *ServeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tritonpose", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser(
        "serve",
        help="run an embedded Triton server until interrupted",
        description="Run an embedded Triton server that finds people and their keypoints, until "
        "interrupted. Its ports are for trusted clients only.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    serve.add_argument(
        "--pipeline",
        default=PIPELINE_NAME,
        metavar="NAME_OR_YAML",
        help="pipeline name, or a PaddleX pipeline YAML",
    )
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on")
    serve.add_argument("--grpc_port", type=int, default=8001, help="gRPC port")
    serve.add_argument("--http_port", type=int, default=8000, help="HTTP port")
    serve.add_argument("--metrics_port", type=int, default=8002, help="port of /metrics")
    serve.add_argument("--verbose", action="store_true", help="show all of Triton's log")
    return parser.parse_args(arguments)
