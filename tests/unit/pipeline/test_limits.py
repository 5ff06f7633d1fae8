"""Bounds on the requests under way, read from the pipeline's configuration."""

import pytest

from topdown.leaf import LeafError
from topdown.limits import Limits


@pytest.mark.parametrize(
    ("parameters", "workers", "max_in_flight"),
    [
        ({}, 12, 128),
        ({"workers": "AUTO", "max_in_flight": "auto"}, 12, 128),
        ({"workers": "1"}, 1, 128),
        ({"workers": "200", "max_in_flight": "1"}, 200, 1),
        ({"max_in_flight": "70"}, 12, 70),
        ({"detector": "x"}, 12, 128),
    ],
)
def test_limits(
    monkeypatch: pytest.MonkeyPatch, parameters: dict, workers: int, max_in_flight: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 5})
    assert Limits.from_parameters(parameters) == Limits(workers, max_in_flight)


@pytest.mark.parametrize(("cores", "workers"), [(1, 4), (16, 64), (17, 64), (192, 64)])
def test_automatic_workers_are_four_per_core_up_to_64(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    assert Limits.from_parameters({}).workers == workers


@pytest.mark.parametrize("key", ["workers", "max_in_flight"])
@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "+3", " 4", "four", "1e3", "\u00b2"])
def test_anything_else_is_refused(key: str, text: str) -> None:
    with pytest.raises(LeafError) as caught:
        Limits.from_parameters({key: text})
    assert str(caught.value) == (
        f"the pipeline's parameter `{key}` must be a positive integer or AUTO, got {text!r}"
    )
