"""Arguments of ``predict``, and how errors end it: the same for both kinds of pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tritonpose.config import check_threshold
from tritonpose.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tritonpose.config import PipelineConfig
    from tritonpose.result import KeypointResult

OnError = Literal["raise", "collect"]

CLOSED = "this pipeline is closed; create another one"
"""The message of the RuntimeError of a closed pipeline."""

READ_AHEAD = 2
"""Inputs read ahead, in multiples of ``max_in_flight``.

Results come in order, so that those behind a slow one have to wait: with no more room than there
are requests in flight, the server would wait with them.
"""


def check_max_in_flight(value: int) -> int:
    """Return how many images may be in flight; raise ConfigError if it isn't a count."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"max_in_flight={value!r}: expected a positive whole number")
    return value


def check_on_error(on_error: str) -> None:
    """Raise ConfigError for an unknown way to treat errors."""
    if on_error not in ("raise", "collect"):
        raise ConfigError(f"on_error={on_error!r}: expected 'raise' or 'collect'")


def choose_threshold(
    det_threshold: float | None, threshold: float | None, config: PipelineConfig
) -> float | None:
    """Choose the threshold to send: the call's, under either of its names, else the file's.

    Raises:
        ConfigError: It isn't from 0 to 1, or the two names have different values.
    """
    named = check_threshold(det_threshold, "det_threshold")
    short = check_threshold(threshold, "threshold")
    if named is not None and short is not None and named != short:
        raise ConfigError(
            f"det_threshold={named} and threshold={short}: two names of one setting; give one"
        )
    for value in (named, short):
        if value is not None:
            return value
    return config.detector.threshold


def deliver(results: list[KeypointResult], on_error: OnError) -> Iterator[KeypointResult]:
    """Yield results; raise the error of one that has an error, unless errors are collected."""
    for result in results:
        if result.error is not None and on_error == "raise":
            raise result.error
        yield result
