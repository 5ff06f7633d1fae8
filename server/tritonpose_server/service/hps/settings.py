"""Configuration of the HPS model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tritonpose_server.service.urls import URLS_OFF, UrlSettings


@dataclass(frozen=True)
class HpsSettings:
    """The model's configuration.

    Attributes:
        visualize: Whether answers contain a picture by default.
        workers: Requests worked on at the same time.
        max_in_flight: Requests accepted at the same time, waiting ones included.
        urls: Which URLs are fetched.
    """

    visualize: bool
    workers: int
    max_in_flight: int
    urls: UrlSettings = URLS_OFF

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> HpsSettings:
        """Read the ``parameters`` of the model's ``config.pbtxt``.

        Raises:
            ValueError: One is missing or malformed.
        """
        return cls(
            visualize=_read(parameters, "visualize", "true|false", "true or false") == "true",
            workers=int(_read(parameters, "workers", r"[1-9]\d{0,8}", "a positive integer")),
            max_in_flight=int(
                _read(parameters, "max_in_flight", r"[1-9]\d{0,8}", "a positive integer")
            ),
            urls=UrlSettings.from_parameters(parameters),
        )


def _read(parameters: Mapping[str, str], key: str, pattern: str, expected: str) -> str:
    text = parameters.get(key, "")
    if not re.fullmatch(pattern, text, re.ASCII):
        raise ValueError(f"the parameter `{key}` must be {expected}, got {text!r}")
    return text
