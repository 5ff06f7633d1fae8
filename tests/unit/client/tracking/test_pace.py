"""How many frames of cameras are on their way: as many as the server works at."""

import pytest

from tritonpose.tracking.pace import Pace


def settle(pace: Pace, seconds: float, parallel: int) -> int:
    """Let a server answer that works at some frames at once; return how many are sent to it."""
    room = 1
    for _ in range(300):
        room = next(number for number in range(1, 100) if not pace.has_room(number))
        pace.note("frame", seconds * max(1.0, room / parallel))
    return room


@pytest.mark.parametrize(("parallel", "least", "most"), [(1, 3, 5), (2, 3, 5), (4, 6, 9)])
def test_few_frames_wait_at_the_server(parallel: int, least: int, most: int) -> None:
    assert least <= settle(Pace(16), 0.02, parallel) <= most


def test_a_distant_server_gets_all_that_it_may() -> None:
    assert settle(Pace(8), 0.3, 16) == 8


def test_a_server_that_gets_busy_gets_less() -> None:
    pace = Pace(16)
    before = settle(pace, 0.02, 8)
    assert before > 10
    assert settle(pace, 0.02, 1) <= 4


def test_a_network_that_gets_slower_is_got_used_to() -> None:
    pace = Pace(8)
    settle(pace, 0.02, 16)
    for _ in range(3):
        after = settle(pace, 0.3, 16)
    assert after == 8


def test_kinds_of_frames_may_take_different_times() -> None:
    pace = Pace(8)
    for _ in range(200):
        for kind, seconds in (("detect", 0.1), ("follow", 0.01)):
            pace.note(kind, seconds)
            pace.has_room(8)
    assert pace.has_room(7)


def test_no_more_than_may_be_in_flight() -> None:
    pace = Pace(1)
    assert pace.has_room(0)
    assert not pace.has_room(1)
