"""Images wait until there is memory for them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tritonpose_pipeline.errors import DeadlineError
from tritonpose_pipeline.limits import PixelBudget
from tritonpose_pipeline.usage import Usage


def test_what_fits_does_not_wait() -> None:
    budget = PixelBudget(10)
    with budget.hold(4, 0), budget.hold(6, 0):
        pass
    with budget.hold(10, 0):
        pass


def test_what_does_not_fit_waits_no_longer_than_its_timeout() -> None:
    budget = PixelBudget(10)
    with budget.hold(5, 0):
        with pytest.raises(DeadlineError), budget.hold(6, 0.01):
            pass
        # Nothing of the failed attempt is left.
        with budget.hold(5, 0):
            pass


def test_an_image_beyond_the_budget_gets_in_alone() -> None:
    budget = PixelBudget(10)
    with budget.hold(99, 0), pytest.raises(DeadlineError), budget.hold(1, 0):
        pass
    with budget.hold(1, 0), pytest.raises(DeadlineError), budget.hold(99, 0):
        pass


def test_a_waiting_image_gets_in_when_another_leaves_even_by_an_error() -> None:
    budget = PixelBudget(10)
    inside, entered = threading.Event(), threading.Event()

    def wait_for_room() -> None:
        inside.wait(30)
        with budget.hold(8, 30):
            entered.set()

    def leave_by_an_error() -> None:
        with budget.hold(5, 0):
            inside.set()
            assert not entered.wait(0.05)
            raise ValueError("gone wrong")

    thread = threading.Thread(target=wait_for_room)
    thread.start()
    with pytest.raises(ValueError, match="gone wrong"):
        leave_by_an_error()
    assert entered.wait(30)
    thread.join()


def test_instances_share_the_budget(tmp_path: Path) -> None:
    one, other = (PixelBudget(10, Usage(tmp_path / "usage")) for _ in range(2))
    with one.hold(6, 0), other.hold(4, 0), pytest.raises(DeadlineError), other.hold(1, 0):
        pass
    with one.hold(1, 0), pytest.raises(DeadlineError), other.hold(99, 0):
        pass
    with other.hold(99, 0):
        pass
    # What another instance gives back is noticed.
    with ThreadPoolExecutor(1) as pool, ExitStack() as held:
        held.enter_context(one.hold(10, 0))
        waiting = pool.submit(lambda: held.enter_context(other.hold(5, 30)))
        assert not waiting.done()
        held.pop_all().close()
        waiting.result(30)
        held.close()
    with one.hold(10, 0):
        pass
