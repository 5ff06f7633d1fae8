"""Where the servers are and how to talk to them, checked in one place."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict
from urllib.parse import urlsplit

from tritonpose.errors import ConfigError
from tritonpose.transport.tls import TlsFiles

if TYPE_CHECKING:
    import os

DEFAULT_TIMEOUT_SECONDS = 60.0

# With the pauses of `tritonpose.transport.failover`, less than a second on average: enough for a
# server that is full for a moment, and short where no server was started.
DEFAULT_RETRIES = 4

# For making a connection; a host that swallows packets must leave time for the next server.
CONNECT_SECONDS = 5.0

_DEFAULT_PORTS = {"grpc": 8001, "grpcs": 8001, "http": 8000, "https": 8000}

# Lower case, as gRPC wants it; HTTP doesn't care.
_HEADER_NAME = re.compile(r"[0-9a-z_.-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_RESERVED_HEADER = re.compile(r"grpc-.*|.*-bin|content-.*|transfer-encoding|connection|host")

# Shorter values of headers are no secrets, and may be part of any text.
_SECRET_LETTERS = 4


class ConnectionOptions(TypedDict, total=False):
    """Arguments of `Connection.from_options` that functions pass on; it describes them."""

    retries: int
    headers: Mapping[str, str] | None
    api_key: str | None
    ca_file: str | os.PathLike[str] | None
    cert_file: str | os.PathLike[str] | None
    key_file: str | os.PathLike[str] | None


@dataclass(frozen=True)
class Connection:
    """Where the servers are and how to talk to them; see `from_options`.

    `addresses` are ``host:port``, names of `headers` are in lower case, and `tls` is None if the
    connection isn't encrypted.
    """

    scheme: str
    addresses: tuple[str, ...]
    timeout: float
    retries: int
    # Never shown: they hold credentials.
    headers: Mapping[str, str] = field(repr=False)
    tls: TlsFiles | None

    @classmethod
    def from_options(
        cls,
        url: str | Sequence[str],
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        *,
        retries: int = DEFAULT_RETRIES,
        headers: Mapping[str, str] | None = None,
        api_key: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        cert_file: str | os.PathLike[str] | None = None,
        key_file: str | os.PathLike[str] | None = None,
    ) -> Connection:
        """Check the arguments of a caller.

        Args:
            url: ``SCHEME://HOST:PORT``; the scheme is ``grpc`` or ``http``, ``grpcs`` or
                ``https`` with encryption. For several servers, a list of such URLs or a string
                of them, separated by commas, all with the same scheme.
            timeout: Seconds that each request may take, over all attempts.
            retries: How often a request that no server takes is sent again, after growing
                pauses; 0 for never. With several servers, one attempt asks each of them.
            headers: Sent with each request (gRPC: metadata).
            api_key: Sent as ``authorization: Bearer API_KEY``.
            ca_file: Certificates to trust, a PEM file, instead of the usual authorities.
            cert_file: The client's certificate, a PEM file; with `key_file`.
            key_file: The client's private key, a PEM file.

        Raises:
            ConfigError: An argument is wrong, or they contradict each other.
        """
        check_timeout(timeout)
        if not (_is_number(retries) and isinstance(retries, int) and retries >= 0):
            raise ConfigError(f"retries={retries!r}: expected a whole number, 0 or more")
        scheme, addresses = _parse(url)
        tls = None
        if scheme in ("grpcs", "https"):
            tls = TlsFiles.from_paths(ca_file, cert_file, key_file)
        elif any(file is not None for file in (ca_file, cert_file, key_file)):
            raise ConfigError(
                f"ca_file, cert_file and key_file are for encrypted connections: use {scheme}s:// "
                "or leave them out"
            )
        return cls(scheme, addresses, timeout, retries, _checked_headers(headers, api_key), tls)

    def without_secrets(self, text: str) -> str:
        """Hide what the headers hold in a text from elsewhere, which may repeat a request."""
        for value in self.headers.values():
            for secret in (value, value.removeprefix("Bearer ")):
                text = text.replace(secret, "***") if len(secret) >= _SECRET_LETTERS else text
        return text

    def url_of(self, address: str) -> str:
        """Return the URL of one of the servers, for messages."""
        return f"{self.scheme}://{address}"


def check_timeout(timeout: float) -> None:
    """Raise ConfigError unless this is a positive number of seconds."""
    if not (_is_number(timeout) and math.isfinite(timeout) and timeout > 0):
        raise ConfigError(f"timeout={timeout!r}: expected a positive number of seconds")


def _parse(url: str | Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Split URLs into their scheme and ``host:port`` each; raise ConfigError."""
    urls = url.split(",") if isinstance(url, str) else url
    if not (isinstance(urls, Sequence) and all(isinstance(one, str) for one in urls)):
        raise ConfigError(f"url={url!r}: expected a URL, or a list of such")
    parts = [_parse_one(part.strip()) for part in urls]
    schemes = {scheme for scheme, _ in parts}
    if len(schemes) != 1:
        raise ConfigError(
            f"url={url!r}: expected one URL or several with the same scheme, "
            "such as grpc://a:8001,grpc://b:8001"
        )
    return schemes.pop(), tuple(address for _, address in parts)


def _parse_one(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError as error:  # brackets that don't fit
        raise ConfigError(f"url={url!r}: {error}") from None
    if "@" in parts.netloc:
        # Without the URL, which holds a password.
        raise ConfigError("url: credentials don't belong there; use api_key=... or headers=...")
    if parts.scheme not in _DEFAULT_PORTS:
        raise ConfigError(
            f"url={url!r}: expected grpc://, grpcs://, http:// or https://HOST:PORT, or local: "
            "for this process"
        )
    try:
        complete = bool(parts.hostname and parts.port) and not re.search(r"\s", url)
        (parts.hostname or "").encode("idna")
    except ValueError:  # the port is not a number, or the name can't be looked up
        complete = False
    if not complete or parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigError(
            f"url={url!r}: expected {parts.scheme}://HOST:PORT, such as "
            f"{parts.scheme}://localhost:{_DEFAULT_PORTS[parts.scheme]}"
        )
    return parts.scheme, parts.netloc


def _checked_headers(headers: Mapping[str, str] | None, api_key: str | None) -> dict[str, str]:
    """Join headers and key; raise ConfigError, whose message shows no value."""
    if not (headers is None or isinstance(headers, Mapping)):
        raise ConfigError(f"headers of type {type(headers).__name__}: expected a dict")
    checked = {str(name).lower(): value for name, value in (headers or {}).items()}
    if api_key is not None:
        if "authorization" in checked:
            raise ConfigError("api_key=... is sent as the header authorization: give only one")
        if not (isinstance(api_key, str) and api_key):
            raise ConfigError("api_key is empty or no text: leave it out, or give a key")
        checked["authorization"] = f"Bearer {api_key}"
    for name, value in checked.items():
        if not _HEADER_NAME.fullmatch(name) or _RESERVED_HEADER.fullmatch(name):
            raise ConfigError(
                f"headers: {name!r} can't be sent: a name has letters, digits, '-', '_' or '.', "
                "and isn't one that the protocol itself uses"
            )
        if not (isinstance(value, str) and _HEADER_VALUE.fullmatch(value)):
            raise ConfigError(f"the value of the header {name!r} isn't one line of ASCII text")
    return checked


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
