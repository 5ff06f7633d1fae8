"""How many requests are in flight: of one instance of the pipeline, and of several."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

import pytest

from leftovers import wait_until
from triton_stand_in import is_admitted
from tritonpose_pipeline.errors import ShuttingDownError, TooManyRequestsError
from tritonpose_pipeline.triton import Admission
from tritonpose_pipeline.usage import Usage


def test_a_lock_is_held_while_requests_are_in_flight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITONPOSE_DRAIN_FILE", str(tmp_path / "draining"))
    admission = Admission(2)

    def is_busy() -> bool:
        with (tmp_path / "draining.busy").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    assert not is_busy()
    assert [is_admitted(admission) for _ in range(3)] == [True, True, False]
    admission.release()
    assert is_busy()
    admission.release()
    assert not is_busy()
    assert is_admitted(admission)


def test_instances_share_the_limit(tmp_path: Path) -> None:
    one, other = (Admission(3, Usage(tmp_path / "usage")) for _ in range(2))
    assert [is_admitted(each) for each in (one, other, one, other)] == [True, True, True, False]
    with pytest.raises(TooManyRequestsError, match=r"^3 requests \(max_in_flight\) are already"):
        one.acquire()
    other.release()
    assert [is_admitted(each) for each in (one, other)] == [True, False]


def test_an_instance_with_more_than_its_share_leaves_requests_to_others(tmp_path: Path) -> None:
    one, other = (Admission(10, Usage(tmp_path / "usage")) for _ in range(2))

    def waits() -> threading.Event:
        returned = threading.Event()

        def wait() -> None:
            one.leave_to_others(2, 2)
            returned.set()

        threading.Thread(target=wait, daemon=True).start()
        return returned

    one.acquire()
    assert waits().wait(10)
    one.acquire()
    one.acquire()
    waiting = waits()
    other.acquire()
    other.acquire()
    assert not waiting.wait(0.05)
    other.acquire()
    assert waiting.wait(10)
    # As many as it has workers are never too many.
    for _ in range(3):
        other.release()
    waiting = waits()
    one.release()
    assert not waiting.wait(0.05)
    one.release()
    assert waiting.wait(10)


def test_under_load_the_end_is_noticed_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITONPOSE_DRAIN_FILE", str(tmp_path / "draining"))
    admission = Admission(10_000_000)
    admission.acquire()
    (tmp_path / "draining").touch()
    assert wait_until(lambda: not is_admitted(admission), 10)
    with pytest.raises(ShuttingDownError):
        admission.acquire()
    # Where nothing is in flight, at once.
    (tmp_path / "draining").unlink()
    idle = Admission(1)
    idle.acquire()
    idle.release()
    (tmp_path / "draining").touch()
    with pytest.raises(ShuttingDownError):
        idle.acquire()
