"""In which frames ``track`` asks for a detector, and what for."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from stand_ins import Pipeline
from street import Street, image, images, shown
from tritonpose.transport.messages import InferRequest, PoseResponse

Make = Callable[..., Pipeline]


@pytest.fixture(params=["sync", "async", "async inputs"])
def make(request: pytest.FixtureRequest) -> Make:
    return partial(Pipeline, request.param)


def test_the_detector_looks_in_each_kth_frame(make: Make) -> None:
    with make(street := Street()) as pipeline:
        list(pipeline.track(images(20), det_interval=5))
    assert street.detections() == [0, 5, 10, 15]
    # The surest detection first, in regions as large as its boxes.
    boxes = next(one.person_boxes for one in street.requests if one.person_boxes is not None)
    np.testing.assert_allclose(boxes[0], [35, 60, 85, 160], atol=6)


def test_auto_looks_ever_more_rarely_where_all_goes_well(make: Make) -> None:
    with make(street := Street()) as pipeline:
        list(pipeline.track(images(40), det_interval="auto"))
    gaps = np.diff(street.detections())
    assert list(gaps) == sorted(gaps)
    assert gaps[-1] == 10


def test_auto_looks_in_some_frames_for_who_moves_as_expected(make: Make) -> None:
    class Parade(Street):
        """The joints of the first one are never where they were expected."""

        def answer(self, request: InferRequest, number: int) -> PoseResponse:
            found = super().answer(request, number)
            first = found.boxes[:, 1] < 70
            found.keypoints[first, :, 0] += 10 * (number % 2)
            return found

    with make(street := Parade()) as pipeline:
        results = list(pipeline.track(images(40), det_interval="auto"))
    assert [set(result.track_ids) for result in results] == [{1, 2}] * 40
    given = [len(one.person_boxes) for one in street.requests if one.person_boxes is not None]
    assert given.count(1) > given.count(2) > 0


def test_auto_follows_time_not_frames(make: Make) -> None:
    slow = ((image(number), number / 5) for number in range(20))
    with make(street := Street()) as pipeline:
        list(pipeline.track(slow, det_interval="auto"))
    assert max(np.diff(street.detections())) == 2


@pytest.mark.parametrize("kind", ["unclear", "scene", "border", "gone"])
def test_the_detector_looks_early_where_something_is_wrong(make: Make, kind: str) -> None:
    street = Street()
    frames = list(images(20))
    if kind == "unclear":
        street.clarity = lambda number: 0.9 if number < 12 else 0.4
    elif kind == "scene":
        for number in range(12, 20):
            frames[number][:, 160:] = 200
    elif kind == "gone":
        street.present = lambda number: (0, 1) if number < 12 else (0,)
    elif kind == "border":
        frames = [frame[: 240 if n < 12 else 170] for n, frame in enumerate(frames)]
    with make(street) as pipeline:
        results = list(pipeline.track(iter(frames), det_interval=10))
    early = street.detections()[2]
    assert street.detections()[:2] == [0, 10]
    # The frames that were on their way already come before it.
    assert early == 12 if kind == "scene" else 12 < early <= 15
    if kind == "gone":
        assert all(set(shown(result)) == {1} for result in results[12:])


def test_somebody_new_is_looked_for_at_once(make: Make) -> None:
    street = Street()
    street.present = lambda number: (0,) if number < 3 else (0, 1)
    with make(street) as pipeline:
        results = list(pipeline.track(images(20), det_interval=4))
    assert street.detections()[:4] == [0, 4, 5, 9]
    assert [result.track_ids for result in results[3:6]] == [(1,), (1, None), (1, 2)]


def test_nobody_needs_no_server(make: Make) -> None:
    street = Street()
    street.present = lambda _: ()
    with make(street) as pipeline:
        results = list(pipeline.track(images(20), det_interval=5))
    assert len(results) == 20
    assert [len(result["boxes"]) for result in results] == [0] * 20
    assert len(street.requests) == 4


def test_thresholds_are_asked_for_with_room_for_weak_detections(make: Make) -> None:
    for chosen, asked in ((None, 0.3), (0.7, 0.3), (0.2, 0.2), ({"person": 0.6}, {"person": 0.6})):
        with make(street := Street()) as pipeline:
            list(pipeline.track(images(1), det_threshold=chosen))
        assert street.requests[0].det_threshold == asked
