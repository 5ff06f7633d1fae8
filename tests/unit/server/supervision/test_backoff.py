"""How long a supervisor waits before it starts something again."""

from tritonpose_server.supervision.backoff import (
    FIRST_SECONDS,
    LONGEST_SECONDS,
    STEADY_SECONDS,
    Backoff,
)


def test_what_was_never_ready_is_given_up_and_what_worked_for_long_starts_at_once() -> None:
    backoff = Backoff(lambda: 100.0)
    assert backoff.next_delay(None) is None
    assert backoff.next_delay(100.0 - STEADY_SECONDS - 1) == 0


def test_pauses_grow_and_are_bounded_until_it_works_again() -> None:
    backoff = Backoff(lambda: 100.0)
    pauses = [backoff.next_delay(99.9) for _ in range(3)]
    assert pauses == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS]
    # One that once worked and then doesn't even start.
    assert [backoff.next_delay(None) for _ in range(10)][-1] == LONGEST_SECONDS
    assert backoff.next_delay(50.0) == 0
    assert backoff.next_delay(99.9) == FIRST_SECONDS
