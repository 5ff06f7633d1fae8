"""The options of ``tritonpose serve`` that concern the REST service."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tritonpose.cli.parsing import API_KEY_VARIABLE, add_port
from tritonpose.errors import ConfigError

if TYPE_CHECKING:
    from tritonpose_server.service.rest.settings import RestSettings

_LIMITS = (
    *("max_connections", "max_header_bytes", "header_timeout", "max_body_bytes"),
    *("max_bodies_bytes", "receive_timeout", "send_timeout", "keep_alive_timeout"),
    *("max_in_flight", "triton_timeout", "workers"),
)
_URL_LIMITS = {"url_max_bytes": "max_bytes", "url_timeout": "timeout"}


def add_rest_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `rest_settings` reads."""
    group = parser.add_argument_group("the REST service and its page")
    group.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    add_port(group, "--port", 8080, "port")
    group.add_argument(
        "--api_key_file",
        metavar="FILE",
        help="serve only who has one of the keys in this file, one a line; or set "
        f"${API_KEY_VARIABLE}",
    )
    group.add_argument(
        "--cert_file",
        metavar="FILE",
        help="certificate (PEM): speak HTTPS",
    )
    group.add_argument("--key_file", metavar="FILE", help="its private key (PEM)")
    group.add_argument(
        "--image_urls",
        choices=("off", "https", "http"),
        default="off",
        help="fetch images that requests name by a URL, from public hosts alone; http: from "
        "http: and https: (default: off)",
    )
    group.add_argument(
        "--url_hosts",
        default="",
        metavar="HOST,...",
        help="only from these hosts, such as images.example.com,*.example.org",
    )
    group.add_argument("--url_ports", default="", metavar="PORT,...", help="from these ports, too")
    group.add_argument(
        "--limit",
        action="append",
        default=[],
        type=_limit,
        metavar="NAME=VALUE",
        help=f"set a limit: {', '.join((*_LIMITS, *_URL_LIMITS))}",
    )


def rest_settings(options: argparse.Namespace, triton_url: str) -> RestSettings:
    """Makes the settings that the options describe.

    The keys in ``$TRITONPOSE_API_KEY`` are taken out of the environment, so that no other program
    that is started inherits them.

    Args:
        options: As a parser with `add_rest_options` reads them.
        triton_url: See `RestSettings`.

    Raises:
        ConfigError: An option is wrong.
    """
    from tritonpose_server.service.rest.api_keys import parse_keys, read_keys
    from tritonpose_server.service.rest.settings import RestSettings
    from tritonpose_server.service.urls import UrlSettings
    from tritonpose_server.service.urls.settings import host_names, port_numbers

    keys: tuple[str, ...] = ()
    if options.api_key_file is not None:
        keys += read_keys(options.api_key_file)
    in_environment = os.environ.pop(API_KEY_VARIABLE, "")
    if in_environment:
        keys += parse_keys(in_environment, f"${API_KEY_VARIABLE}")
    settings = RestSettings(
        triton_url=triton_url,
        host=options.host,
        port=options.port,
        api_keys=keys,
        cert_file=options.cert_file,
        key_file=options.key_file,
        urls=UrlSettings(
            options.image_urls, host_names(options.url_hosts), port_numbers(options.url_ports)
        ),
    )
    if settings.urls.mode == "off" and (settings.urls.hosts or settings.urls.ports):
        raise ConfigError("--url_hosts and --url_ports mean nothing without --image_urls")
    return _limited(settings, dict(options.limit))


def _limited(settings: RestSettings, limits: dict[str, float]) -> RestSettings:
    urls = settings.urls
    for name, value in limits.items():
        holder, field = (urls, _URL_LIMITS[name]) if name in _URL_LIMITS else (settings, name)
        # Those that count something stay whole numbers.
        kind: Any = float if isinstance(getattr(holder, field), float) else int
        if kind(value) != value:
            raise ConfigError(f"--limit {name}: expected a whole number, got {value:g}")
        if holder is urls:
            urls = replace(urls, **{field: kind(value)})
        else:
            settings = replace(settings, **{field: kind(value)})
    return replace(settings, urls=urls)


def _limit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    if name not in _LIMITS and name not in _URL_LIMITS:
        raise argparse.ArgumentTypeError(
            f"{name!r} is no limit: choose of {', '.join((*_LIMITS, *_URL_LIMITS))}"
        )
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{name} must be a positive number, got {value!r}")
    return name, number
