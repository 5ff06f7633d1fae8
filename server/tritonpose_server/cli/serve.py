"""Run ``tritonpose serve``, the command that PaddleX's ``--serve`` means, too."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from tritonpose.cli.console import be_quiet, print_status, print_warning
from tritonpose.cli.logs import LogOptions, log_service
from tritonpose.cli.parsing import (
    API_KEY_VARIABLE,
    add_paddlex_only,
    add_port,
    add_shared,
    command_parser,
    positive_seconds,
    warn_of_server_options,
    warn_without_effect,
)
from tritonpose.config import PipelineConfig
from tritonpose.errors import ConfigError

if TYPE_CHECKING:
    from tritonpose_server.embedded.tuning import Tuning
    from tritonpose_server.service.rest.settings import RestSettings

_DESCRIPTION = """\
Run a server until interrupted: Triton, and in front of it PaddleX's REST service with a web page.
Triton's own ports are for trusted clients. They listen on this machine only, unless --triton_host
opens them; so does the REST service, unless --host opens it."""
_EXAMPLES = """\
  tritonpose serve
  tritonpose serve --pipeline my_pipeline.yaml --host 0.0.0.0 --port 8080
  tritonpose serve --host 0.0.0.0 --api_key_file keys --cert_file cert.pem --key_file key.pem
  tritonpose serve --tuning tuning.yaml
  tritonpose serve --url grpc://triton:8001         only the REST service, for another Triton
  tritonpose --serve --pipeline human_keypoint_detection --port 8080     (as paddlex)
"""
# Names in `RestSettings`, and with a prefix in its `urls`; counts are whole numbers.
_LIMITS = {
    **dict.fromkeys(("max_connections", "max_header_bytes"), int),
    "header_timeout": float,
    **dict.fromkeys(("max_body_bytes", "max_bodies_bytes"), int),
    **dict.fromkeys(("max_batch_bytes", "max_batch_images", "max_batch_in_flight"), int),
    **dict.fromkeys(("receive_timeout", "send_timeout", "keep_alive_timeout"), float),
    **dict.fromkeys(("max_in_flight", "max_streams", "max_frame_bytes"), int),
    "triton_timeout": float,
    "workers": int,
    "url_max_bytes": int,
    "url_timeout": float,
}
_URL_PREFIX = "url_"

# Without effect in front of another Triton.
_OF_TRITON = (
    *("device", "strict_models", "tuning", "triton_host", "metrics_host"),
    *("grpc_port", "http_port", "metrics_port"),
)

_ALL_INTERFACES = {"0.0.0.0", "::"}  # noqa: S104 (compared with, not listened on)


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status, 0 after SIGINT or SIGTERM.

    Raises ConfigError if the pipeline's configuration, the device, the tuning, the URL or an option
    of the REST service is wrong, TritonPoseError if the server can't be started, OSError if a port
    can't be listened on.
    """
    parser = command_parser("serve", "[options]", _DESCRIPTION, _EXAMPLES)
    _add_options(parser)
    add_rest_options(parser)
    add_paddlex_only(parser)
    options = parser.parse_args(arguments)
    log = LogOptions(options.verbose, options.log_format == "json", options.quiet)
    log_service(log)
    if options.quiet:
        be_quiet()
    config = PipelineConfig.load(options.pipeline)
    warn_without_effect(options)
    given = (name for name in _OF_TRITON if getattr(options, name) != parser.get_default(name))
    warn_of_server_options(options, options.url, *given)
    if options.url is not None:
        from tritonpose_server.service.rest.run import run_rest

        run_rest(rest_settings(options, config, triton_url=options.url))
    else:
        _check_ports(options)
        _serve(options, config, log)
    return 0


def _serve(options: argparse.Namespace, config: PipelineConfig, log: LogOptions) -> None:
    from tritonpose_server.cli.servers import serve
    from tritonpose_server.embedded.device import Device
    from tritonpose_server.embedded.options import ServerOptions
    from tritonpose_server.embedded.tuning import Tuning

    tuning = Tuning() if options.tuning is None else _load_tuning(options.tuning)
    triton = ServerOptions(
        address=options.triton_host,
        metrics_address=options.metrics_host,
        grpc_port=options.grpc_port,
        http_port=options.http_port,
        metrics_port=options.metrics_port,
        stop_timeout=options.stop_timeout,
        control_key=os.environ.get("TRITONPOSE_CONTROL_KEY") or None,
        device=None if options.device is None else Device.parse(options.device),
        tuning=tuning,
    )
    rest = rest_settings(options, config, max_in_flight=triton.pipeline.max_in_flight)
    serve(config, triton, rest, log, strict_models=options.strict_models)


def _check_ports(options: argparse.Namespace) -> None:
    """Raise ConfigError where two services would listen on one port."""
    hosts = {
        "port": options.host,
        "grpc_port": options.triton_host,
        "http_port": options.triton_host,
        "metrics_port": options.metrics_host or options.triton_host,
    }
    for one, other in combinations(hosts, 2):
        port = getattr(options, one)
        pair = {hosts[one], hosts[other]}
        if port == getattr(options, other) and (len(pair) == 1 or pair & _ALL_INTERFACES):
            raise ConfigError(f"--{one} and --{other} are both {port}: each needs its own port")


def _load_tuning(path: str) -> Tuning:
    """Read a tuning file, and print its settings and warnings about them."""
    from tritonpose_pipeline.cores import available_cores
    from tritonpose_server.embedded.tuning import describe, load_tuning, warnings_for

    tuning = load_tuning(path)
    print_status(f"tuning of {path}: {describe(tuning)}")
    for warning in warnings_for(tuning, available_cores()):
        print_warning(warning)
    return tuning


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_shared(parser, "pipeline", "device", "strict_models")
    parser.add_argument(
        "--tuning",
        metavar="FILE",
        help="threads, streams, batches and queues (YAML; default: by the number of cores)",
    )
    parser.add_argument(
        "--triton_host",
        default="127.0.0.1",
        metavar="HOST",
        help="address of Triton's own ports (default: %(default)s)",
    )
    parser.add_argument(
        "--metrics_host",
        metavar="HOST",
        help="address of Triton's /metrics (default: that of --triton_host)",
    )
    add_port(parser, "--grpc_port", 8001, "Triton's gRPC port")
    add_port(parser, "--http_port", 8000, "Triton's HTTP port")
    add_port(parser, "--metrics_port", 8002, "port of Triton's /metrics")
    parser.add_argument(
        "--url",
        metavar="URL",
        help="start only the REST service, in front of this Triton with its own models: "
        "grpc://HOST:PORT or http://HOST:PORT",
    )
    parser.add_argument(
        "--stop_timeout",
        type=positive_seconds,
        default=10.0,
        metavar="SECONDS",
        help="how long requests in flight may take after SIGINT or SIGTERM (default: %(default)g)",
    )
    parser.add_argument(
        "--log_format",
        choices=("text", "json"),
        default="text",
        help="log text, or JSON objects, one a line (default: %(default)s)",
    )
    add_shared(parser, "verbose", "quiet")


def add_rest_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `rest_settings` reads."""
    group = parser.add_argument_group("the REST service and its page")
    group.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    add_port(group, "--port", 8080, "port")
    group.add_argument(
        "--api_key_file",
        metavar="FILE",
        help=f"require one of the API keys in this file, one a line; or set ${API_KEY_VARIABLE}",
    )
    group.add_argument(
        "--allowed_hosts",
        default="",
        metavar="HOST,...",
        help="names that a service at 127.0.0.1 without API keys may be called by, besides "
        "localhost",
    )
    group.add_argument(
        "--cors_origins",
        default="",
        metavar="ORIGIN,...",
        help="let web pages from there send requests, such as https://example.com (default: none)",
    )
    group.add_argument(
        "--trusted_proxies",
        default="",
        metavar="ADDRESS,...",
        help="log the client that these proxies name in X-Forwarded-For (default: none)",
    )
    group.add_argument("--cert_file", metavar="FILE", help="certificate (PEM): speak HTTPS")
    group.add_argument("--key_file", metavar="FILE", help="its private key (PEM)")
    group.add_argument(
        "--image_urls",
        choices=("off", "https", "http"),
        default="off",
        help="fetch images that requests name by a URL, from public hosts only; http allows http: "
        "and https: (default: off)",
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
        help=f"set a limit: {', '.join(_LIMITS)}",
    )


def rest_settings(
    options: argparse.Namespace,
    config: PipelineConfig,
    *,
    triton_url: str = "",
    max_in_flight: int | None = None,
) -> RestSettings:
    """Make the settings of the REST service, from `add_rest_options`; ConfigError if one is wrong.

    The keys in ``$TRITONPOSE_API_KEY`` are taken out of the environment, so that no other program
    that is started inherits them. The Triton server's URL is empty while it is unknown; ``--limit``
    overrides ``max_in_flight``, the tuning's.
    """
    from tritonpose_server.service.rest.key_files import parse_keys, read_keys, warn_of_readers
    from tritonpose_server.service.rest.settings import RestSettings
    from tritonpose_server.service.urls.settings import UrlSettings, names_in, port_numbers

    keys = () if options.api_key_file is None else read_keys(options.api_key_file)
    if in_environment := os.environ.pop(API_KEY_VARIABLE, ""):
        keys += parse_keys(in_environment, f"${API_KEY_VARIABLE}")
    if options.key_file is not None:
        warn_of_readers(options.key_file)
    limits: dict[str, Any] = {"max_in_flight": max_in_flight, **dict(options.limit)}
    url_limits = {
        name.removeprefix(_URL_PREFIX): limits.pop(name)
        for name in list(limits)
        if name.startswith(_URL_PREFIX)
    }
    urls = UrlSettings(
        options.image_urls,
        names_in(options.url_hosts),
        port_numbers(options.url_ports),
        **url_limits,
    )
    if urls.mode == "off" and (urls.hosts or urls.ports):
        raise ConfigError("--url_hosts and --url_ports have no effect without --image_urls")
    return RestSettings(
        triton_url=triton_url,
        host=options.host,
        port=options.port,
        visualize=config.visualize is not False,
        api_keys=keys,
        allowed_hosts=names_in(options.allowed_hosts),
        cors_origins=names_in(options.cors_origins),
        trusted_proxies=names_in(options.trusted_proxies),
        cert_file=options.cert_file,
        key_file=options.key_file,
        urls=urls,
        shutdown_timeout=options.stop_timeout,
        **limits,
    )


def _limit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    if name not in _LIMITS:
        raise argparse.ArgumentTypeError(
            f"{name!r} is an unknown limit; choose from {', '.join(_LIMITS)}"
        )
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{name} must be a positive number, got {value!r}")
    if _LIMITS[name] is int and not number.is_integer():
        raise argparse.ArgumentTypeError(f"{name} must be a whole number, got {value!r}")
    return name, _LIMITS[name](number)
