"""Errors inside Ray, as the user sees them."""

from __future__ import annotations

from tritonpose import InputError, ServerUnavailableError
from tritonpose_batch.cluster import cause_of


class WrappedError(ServerUnavailableError):
    """Poses as its cause, as Ray's errors do."""

    def __init__(self, cause: BaseException | None) -> None:
        super().__init__("Traceback ...\nat the very end: 1")
        self.cause = cause


def test_the_cause_without_rays_lines() -> None:
    inner = ServerUnavailableError("no server\nFailed to apply UDF transform")
    outer = RuntimeError("ray")
    outer.__cause__ = WrappedError(inner)
    assert str(cause_of(outer)) == "no server"
    assert str(cause_of(InputError("no such file", "a.jpg"))) == "no such file"


def test_a_missing_module_stays_one() -> None:
    missing = ModuleNotFoundError("No module named 'tritonpose_server'")
    assert cause_of(WrappedError(missing)) is missing


def test_other_errors_by_their_last_line() -> None:
    assert str(cause_of(WrappedError(None))) == "a worker failed: at the very end: 1"
