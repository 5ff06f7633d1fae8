"""Settings of the REST service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network

from tritonpose.errors import ConfigError
from tritonpose.transport.tls import TlsFiles
from tritonpose_pipeline.cores import available_cores
from tritonpose_server.ports import url_host
from tritonpose_server.service.urls.settings import HOST, URLS_OFF, UrlSettings

ANY = "*"

_ORIGIN = re.compile(r"https?://[a-z0-9._-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")


@dataclass(frozen=True)
class RestSettings:
    """Settings of the REST service, with all its limits.

    Attributes:
        triton_url: The Triton server behind it, ``grpc://HOST:PORT`` or ``http://HOST:PORT``.
        host: Address to listen on.
        port: Port to listen on.
        visualize: Whether answers contain a picture by default.
        api_keys: Keys of which a request needs one; empty: no key is required. See
            `tritonpose_server.service.rest.api_keys`.
        cert_file: The service's certificate chain, a PEM file; with `key_file`. None: connections
            are not encrypted.
        key_file: Its private key, a PEM file, not encrypted.
        allowed_hosts: Names by which a service without keys that only this machine reaches may be
            called, besides ``localhost`` and loopback addresses; ``*.example.com`` stands for all
            names below ``example.com``, ``*`` for all names.
        cors_origins: Origins whose pages may send requests, such as ``https://example.com``; ``*``
            stands for all.
        trusted_proxies: Addresses or networks of proxies in front of the service whose header
            ``X-Forwarded-For`` names the client in the log; ``*`` stands for all.
        page_threshold: Score, 0 to 1, above which the web page shows people at first.
        urls: Which images at URLs are fetched.
        max_connections: Open connections, idle ones included; more are answered 503 and closed.
        max_header_bytes: Size of a request's line and headers; larger ones get 431.
        header_timeout: Seconds for them to arrive; then the client gets 408.
        max_body_bytes: Size of a request's body; larger ones get 413.
        max_batch_bytes: Size of the body of a batch; larger ones get 413. Each of its images may
            have `max_body_bytes`.
        max_batch_images: Images of a batch; more get 413.
        max_batch_in_flight: Images of one batch worked on at the same time.
        max_bodies_bytes: Size of all bodies and fetched images that are being received or worked
            on; beyond it requests get 503.
        receive_timeout: Seconds for a body to arrive; then the client gets 408. For that of a batch
            longer, by as much as `max_batch_bytes` is more.
        send_timeout: Seconds for a client to take an answer; then its connection is cut.
        keep_alive_timeout: Seconds that a connection may be idle between two requests.
        max_in_flight: Requests worked on at the same time; more get 503 at once. None: that of
            the tuning file, else 128; see `in_flight_limit`.
        max_streams: WebSockets on which people are followed; more get 503. None of their clients
            can take the places of requests, nor the other way round.
        max_frame_bytes: Size of an image that comes by WebSocket; larger ones end the connection.
        triton_timeout: Seconds Triton gets to answer; then the client gets 504.
        shutdown_timeout: Seconds that requests in flight get to finish when the service stops.
        workers: Threads that read large bodies and draw pictures.
        stand_ins: The open model that is served in place of each of PaddleX's models that the
            pipeline names but no source has; shown by ``/health/ready``.

    Raises:
        ConfigError: A host, origin or proxy is not valid.
    """

    triton_url: str
    host: str = "127.0.0.1"
    port: int = 8080
    visualize: bool = True
    page_threshold: float = 0.5
    # Never shown.
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    cert_file: str | None = None
    key_file: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    urls: UrlSettings = URLS_OFF
    max_connections: int = 800
    max_header_bytes: int = 65_536
    header_timeout: float = 10.0
    max_body_bytes: int = 44_000_000
    max_batch_bytes: int = 200_000_000
    max_batch_images: int = 256
    # As many as keep the pipeline's workers busy, and leave places for others.
    max_batch_in_flight: int = 16
    max_bodies_bytes: int = 1_000_000_000
    receive_timeout: float = 30.0
    send_timeout: float = 60.0
    # Longer than clients and proxies usually keep idle connections: they close theirs first.
    keep_alive_timeout: float = 75.0
    max_in_flight: int | None = None
    max_streams: int = 64
    max_frame_bytes: int = 4_000_000
    triton_timeout: float = 60.0
    shutdown_timeout: float = 10.0
    workers: int = field(default_factory=available_cores)
    stand_ins: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for host in self.allowed_hosts:
            if host != ANY and not HOST.fullmatch(host):
                raise ConfigError(
                    f"allowed_hosts: {host!r} isn't a valid host name: expected one such as "
                    "service.example.com or *.example.com, in lower case and ASCII"
                )
        for origin in self.cors_origins:
            if origin != ANY and not _ORIGIN.fullmatch(origin):
                raise ConfigError(
                    f"cors_origins: {origin!r} isn't a valid origin: expected one such as "
                    "https://example.com or http://localhost:3000, without a path"
                )
        try:
            for proxy in self.trusted_proxies:
                proxy == ANY or ip_network(proxy)
        except ValueError as error:
            raise ConfigError(f"trusted_proxies: {error}") from None

    @property
    def in_flight_limit(self) -> int:
        """Return `max_in_flight`, or its default where it is not set."""
        return 128 if self.max_in_flight is None else self.max_in_flight

    def check_certificate(self) -> None:
        """Check that `cert_file` and `key_file` can be used.

        Raises ConfigError if they can't be read, aren't PEM files or don't belong together, the key
        is encrypted, or only one of them is given.
        """
        TlsFiles.from_paths(None, self.cert_file, self.key_file)

    @property
    def address(self) -> str:
        """The URL of the service, without a slash at its end."""
        return f"{'https' if self.cert_file else 'http'}://{url_host(self.host)}:{self.port}"
