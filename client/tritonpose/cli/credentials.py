"""The options with which a server is asked that wants to know who asks."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, cast

from tritonpose.cli.parsing import API_KEY_VARIABLE

if TYPE_CHECKING:
    from tritonpose.transport.connection import ConnectionOptions


def add_credentials(parser: argparse.ArgumentParser) -> None:
    """Add the options with which a server named by ``--url`` is asked."""
    group = parser.add_argument_group("for a server that asks who you are, with --url")
    group.add_argument(
        "--api_key",
        metavar="KEY",
        help=f"better set ${API_KEY_VARIABLE}: everybody on this machine can read command lines",
    )
    group.add_argument(
        "--ca_file", metavar="FILE", help="certificates to trust (PEM), with grpcs:// or https://"
    )
    group.add_argument("--cert_file", metavar="FILE", help="your own certificate (PEM)")
    group.add_argument("--key_file", metavar="FILE", help="its private key (PEM)")


def credentials(options: argparse.Namespace, api_key: str | None = None) -> ConnectionOptions:
    """Those that were given, `api_key` for want of another."""
    given: ConnectionOptions = {
        "api_key": api_key if options.api_key is None else options.api_key,
        "ca_file": options.ca_file,
        "cert_file": options.cert_file,
        "key_file": options.key_file,
    }
    return cast("ConnectionOptions", {k: v for k, v in given.items() if v is not None})
