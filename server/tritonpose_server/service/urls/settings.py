"""Settings: which URLs are fetched, and their limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from tritonpose.errors import ConfigError

T = TypeVar("T")

SCHEMES = {"off": (), "https": ("https",), "http": ("https", "http")}
"""The schemes that are fetched, by mode."""

DEFAULT_PORTS = {"https": 443, "http": 80}

HOST = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


@dataclass(frozen=True)
class UrlSettings:
    """Which URLs are fetched, and their limits.

    Attributes:
        mode: ``off``; ``https``; or ``http``, which means both.
        hosts: Host names that are allowed, lower case; ``*.example.com`` stands for all names below
            ``example.com``. Empty: every public host.
        ports: Ports that are allowed besides the usual one of the scheme.
        max_bytes: Size of a file; larger ones are refused.
        timeout: Seconds for a file, over all redirects, name resolution included.

    Raises:
        ConfigError: A value is not one of these.
    """

    mode: str = "off"
    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    # What fits, as base64, into the largest body that the REST service takes by default.
    max_bytes: int = 15_000_000
    timeout: float = 10.0

    def __post_init__(self) -> None:
        if self.mode not in SCHEMES:
            raise ConfigError(f"image_urls={self.mode!r}: expected {', '.join(SCHEMES)}")
        for host in self.hosts:
            if not HOST.fullmatch(host):
                raise ConfigError(
                    f"url_hosts: {host!r} isn't a valid host name: expected one such as "
                    "images.example.com or *.example.com, in lower case and ASCII"
                )
        for port in self.ports:
            if not 1 <= port <= 65535:
                raise ConfigError(f"url_ports: {port} isn't a valid port: expected 1 to 65535")
        if self.max_bytes < 1 or not 0 < self.timeout < float("inf"):
            raise ConfigError("url_max_bytes and url_timeout must be positive numbers")

    @property
    def schemes(self) -> tuple[str, ...]:
        """The schemes that are fetched."""
        return SCHEMES[self.mode]

    def parameters(self) -> dict[str, str]:
        """Write the settings as ``parameters`` of a Triton model's ``config.pbtxt``."""
        return {
            "image_urls": self.mode,
            "url_hosts": ",".join(self.hosts),
            "url_ports": ",".join(map(str, self.ports)),
            "url_max_bytes": str(self.max_bytes),
            "url_timeout": str(self.timeout),
        }

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> UrlSettings:
        """Read what `parameters` writes, any of it optional; ConfigError if one is malformed."""
        texts = {**URLS_OFF.parameters(), **parameters}
        return cls(
            mode=texts["image_urls"],
            hosts=names_in(texts["url_hosts"]),
            ports=port_numbers(texts["url_ports"]),
            max_bytes=_read("url_max_bytes", texts, int),
            timeout=_read("url_timeout", texts, float),
        )


URLS_OFF = UrlSettings()
"""No URL is fetched."""


def names_in(text: str) -> tuple[str, ...]:
    """Split a list of names at its commas, and convert them to lower case."""
    return tuple(part.lower() for part in _parts(text))


def port_numbers(text: str) -> tuple[int, ...]:
    """Split a list of ports at its commas; ConfigError if one is not a number."""
    parts = list(_parts(text))
    for part in parts:
        if not re.fullmatch(r"[0-9]{1,5}", part):
            raise ConfigError(f"url_ports: {part!r} isn't a valid port: expected 1 to 65535")
    return tuple(map(int, parts))


def _read(key: str, texts: Mapping[str, str], kind: Callable[[str], T]) -> T:
    try:
        return kind(texts[key])
    except ValueError:
        raise ConfigError(f"the parameter `{key}` must be a number, got {texts[key]!r}") from None


def _parts(text: str) -> Iterable[str]:
    return filter(None, (part.strip() for part in text.split(",")))
