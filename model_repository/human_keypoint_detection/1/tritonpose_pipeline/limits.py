"""How much the pipeline takes on: of one request, and at a time."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tritonpose_pipeline.errors import ModelError

_MAX_AUTO_WORKERS = 64


@dataclass(frozen=True)
class Limits:
    """Bounds on requests, all of them parameters of the pipeline's ``config.pbtxt``.

    Attributes:
        workers: Requests worked on at the same time.
        threads: Workers that compute at the same time; the others wait for models.
        max_in_flight: Requests accepted at the same time, waiting ones included.
        max_image_bytes: Size of an encoded image.
        max_pixels: Width times height of an image.
        max_pixels_in_flight: Pixels of all images that are decoded at the same time.
        max_persons: Persons per image; those with the best detection scores are kept.
        deadline_s: Seconds from a request's arrival in which it must be answered.
        slow_s: Seconds after which a request is told of in the log.
    """

    workers: int
    threads: int = 1
    max_in_flight: int = 128
    max_image_bytes: int = 16_000_000
    max_pixels: int = 50_000_000
    max_pixels_in_flight: int = 100_000_000
    max_persons: int = 100
    deadline_s: int = 10
    slow_s: int = 3

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> Limits:
        """Read limits from ``parameters`` of the pipeline's ``config.pbtxt``.

        Raises:
            ModelError: A limit is not a positive integer or ``AUTO``.
        """
        cores = len(os.sched_getaffinity(0))

        def read(key: str, default: int) -> int:
            return _positive(parameters, key, default)

        return cls(
            workers=read("workers", default_workers(cores)),
            threads=read("threads", cores),
            max_in_flight=read("max_in_flight", cls.max_in_flight),
            max_image_bytes=read("max_image_bytes", cls.max_image_bytes),
            max_pixels=read("max_pixels", cls.max_pixels),
            max_pixels_in_flight=read("max_pixels_in_flight", cls.max_pixels_in_flight),
            max_persons=read("max_persons", cls.max_persons),
            deadline_s=read("deadline_s", cls.deadline_s),
            slow_s=read("slow_s", cls.slow_s),
        )


def default_workers(cores: int) -> int:
    """Requests worked on at the same time, where nobody says how many.

    Workers mostly wait for the models: enough of them keep models and cores busy.
    """
    return min(4 * cores, _MAX_AUTO_WORKERS)


def _positive(parameters: Mapping[str, str], key: str, default: int) -> int:
    text = parameters.get(key, "AUTO")
    if text.upper() == "AUTO":
        return default
    if not re.fullmatch(r"[1-9]\d{0,8}", text, re.ASCII):
        raise ModelError(
            f"the pipeline's parameter `{key}` must be a positive integer or AUTO, got {text!r}"
        )
    return int(text)
