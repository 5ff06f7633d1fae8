"""What ``track`` asks of a server, and in which order its results come."""

import json
import threading
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stand_ins import Pipeline, StandIn
from tritonpose import ConfigError, InputError, ServerError
from tritonpose.inputs.videos import Frame
from tritonpose.tracking import TrackedResult, Tracker
from tritonpose.tracking.feed import Feed
from tritonpose.transport.messages import InferRequest, PoseResponse
from videos import number_of, write_video

Make = Callable[..., Pipeline]
WIDTH, HEIGHT = 320, 240
RANDOM = np.random.default_rng(3)
# Two people of 50 x 100 pixels, each with a pose of their own.
POSES = [RANDOM.uniform([-20, -45], [20, 45], (17, 2)) for _ in "ab"]


def place(person: int, number: int) -> np.ndarray:
    """Where somebody is in a frame: they walk towards each other, and past."""
    return np.array([(60 + 4 * number, 260 - 4 * number)[person], (110, 130)[person]], float)


class Street(StandIn):
    """Answers as a server would of two people: by a detector, or in the boxes that it is given.

    ``clarity`` of the joints and ``present`` people may change with the frame's number.
    """

    clarity: Callable[[int], float] = staticmethod(lambda _: 0.9)
    present: Callable[[int], tuple[int, ...]] = staticmethod(lambda _: (0, 1))

    def answer(self, request: InferRequest, number: int) -> PoseResponse:
        people = self.present(number)
        if request.person_boxes is not None:
            centers = request.person_boxes.reshape(-1, 2, 2).mean(axis=1)
            nearest = [
                min((0, 1), key=lambda one: abs(place(one, number) - center).sum())
                for center in centers
            ]
            boxes, scores = request.person_boxes, np.ones(len(centers))
            clear = [self.clarity(number) if one in people else 0.05 for one in nearest]
        else:
            nearest = list(people)
            half = np.array([25, 50])
            corners = [[place(one, number) - half, place(one, number) + half] for one in people]
            boxes = np.array(corners, np.float32).reshape(-1, 4)
            scores = np.array([0.9, 0.8])[nearest]
            clear = [self.clarity(number) for _ in nearest]
        poses = [
            np.column_stack([POSES[one] + place(one, number), np.full(17, score)])
            for one, score in zip(nearest, clear, strict=True)
        ]
        keypoints = np.array(poses, np.float32).reshape(-1, 17, 3)
        return PoseResponse(
            boxes, scores.astype(np.float32), keypoints, keypoints[:, :, 2].mean(axis=1)
        )

    def detections(self) -> list[int]:
        """List the numbers of the frames in which a detector looked."""
        return sorted(
            int(request.frame[0, 0, 0])
            for request in self.requests
            if request.frame is not None and request.person_boxes is None
        )


def image(number: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), number, np.uint8)


def images(count: int) -> Iterator[np.ndarray]:
    return (image(number) for number in range(count))


def shown(result: TrackedResult) -> dict[int | None, float]:
    """The horizontal places of the people, by their numbers."""
    centers = result.arrays.boxes[:, [0, 2]].mean(axis=1)
    return dict(zip(result.track_ids, centers.round(2).tolist(), strict=True))


def content(results: list[TrackedResult]) -> list[Any]:
    return [
        (
            one.source_index,
            one.frame_index,
            one.timestamp,
            one.track_ids,
            one.arrays.keypoints.tolist(),
        )
        for one in sorted(results, key=lambda one: (one.source_index, one.frame_index or 0))
    ]


@pytest.fixture(params=["sync", "async", "async inputs"])
def make(request: pytest.FixtureRequest) -> Make:
    return partial(Pipeline, request.param)


@pytest.mark.parametrize(
    "choice", [{}, {"det_interval": 3}, {"det_interval": "auto"}, {"smooth": "offline"}], ids=str
)
def test_ids_are_the_same_however_many_are_in_flight(make: Make, choice: dict[str, Any]) -> None:
    found = []
    for limit in (1, 4, 16):
        street = Street(lambda number: time.sleep(0.002 * (number * 7 % 5)))
        with make(street, max_in_flight=limit) as pipeline:
            results = list(pipeline.track(images(40), **choice))
        assert [result.frame_index for result in results] == list(range(40))
        found.append(content(results))
    assert found[0] == found[1] == found[2]
    for result in results:
        number = result.frame_index
        assert result.source == "frames"
        assert result["input_img"][0, 0, 0] == number
        at = shown(result)
        assert set(at) == {1, 2}
        assert abs(at[1] - place(0, number)[0]) < 3
        assert abs(at[2] - place(1, number)[0]) < 3


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
            frames[number][:, 1:] = 200
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


def test_a_region_of_interest_may_leave_followed_people_out(make: Make) -> None:
    class Zone(Street):
        def answer(self, request: InferRequest, number: int) -> PoseResponse:
            found = super().answer(request, number)
            inside = found.boxes[:, 2] < 240
            return PoseResponse(*(part[inside] for part in list(vars(found).values())[:4]))

    with make(street := Zone()) as pipeline:
        results = list(
            pipeline.track(images(40), det_interval=4, roi=[[0, 0], [240, 0], [240, 239]])
        )
    assert all(request.roi is not None for request in street.requests)
    for result in results:
        at = shown(result)
        assert abs(at[1] - place(0, result.frame_index)[0]) < 3 if 1 in at else True
    assert set(shown(results[20])) == {1, 2}


@pytest.mark.parametrize("interval", [1, 4])
def test_errors_are_results_or_raised(make: Make, interval: int) -> None:
    def behave(number: int) -> None:
        if number == 5:
            raise ServerError("broken")

    with make(Street(behave)) as pipeline:
        results = list(pipeline.track(images(12), det_interval=interval, on_error="collect"))
        assert [str(one.error) for one in results if one.error] == ["broken"]
        assert [one.track_ids for one in results if not one.error] == [(1, 2)] * 11
        for smooth in (True, "offline"):
            taken = []
            with pytest.raises(ServerError):
                taken.extend(pipeline.track(images(12), det_interval=interval, smooth=smooth))
            rest = pipeline.track(images(12), det_interval=interval, smooth=smooth)
            assert [next(rest).frame_index for _ in range(5)] == [0, 1, 2, 3, 4]
            with pytest.raises(ServerError):
                next(rest)


def test_an_iterator_that_fails_ends_its_source(make: Make) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield from images(3)
        raise OSError("unplugged")

    with make(Street()) as pipeline:
        results = list(pipeline.track([broken(), images(6)], on_error="collect"))
        errors = [one for one in results if one.error]
        assert [(one.source_index, type(one.error)) for one in errors] == [(0, InputError)]
        assert "unplugged" in str(errors[0].error)
        assert len(results) == 3 + 1 + 6
        with pytest.raises(InputError, match="unplugged"):
            list(pipeline.track(broken()))


class Camera:
    """A live source that gives a frame whenever a test lets it."""

    live = True

    def __init__(self, name: str, frames: Iterator[int]) -> None:
        self.name, self._frames = name, frames
        self.dropped = self.reconnects = 0
        self.closed = threading.Event()

    def frames(self) -> Generator[Frame | InputError, None, None]:
        for index, number in enumerate(self._frames):
            yield Frame(image(number), index, index / 30)
        self.closed.wait(30)

    def close(self) -> None:
        self.closed.set()


def test_a_dead_camera_holds_no_other(make: Make) -> None:
    cameras = [Camera("dead", iter(())), Camera("alive", iter(range(5)))]
    with make(Street()) as pipeline:
        results = pipeline.track([*cameras, images(30)])
        seen = [next(results).source_index for _ in range(31)]
        assert set(seen) == {1, 2}
        results.close()
    assert all(camera.closed.is_set() for camera in cameras)


def test_of_a_camera_the_newest_frame_comes_first(make: Make) -> None:
    """While two frames are with the server, 20 others come."""
    street = Street()
    all_there = threading.Event()

    def behave(number: int) -> None:
        if number < 2:
            assert all_there.wait(30)

    def numbers() -> Iterator[int]:
        for number in range(22):
            while street.running < min(number, 2):
                time.sleep(0.001)
            yield number
        all_there.set()

    street.behave = behave
    camera = Camera("camera", numbers())
    with make(street, max_in_flight=8) as pipeline:
        results = pipeline.track(camera)
        indices = [next(results).frame_index for _ in range(3)]
        results.close()
    assert indices == [0, 1, 21]
    assert camera.dropped == 19


def test_frames_of_a_camera_get_too_old() -> None:
    camera = Camera("camera", iter(()))
    feed = Feed(camera)
    for arrived in (time.monotonic() - 5, time.monotonic()):
        feed._items.append(Frame(image(1), 0, arrived, arrived))
    assert feed.waits
    assert time.monotonic() - feed.take().time < 5  # type: ignore[union-attr]
    assert camera.dropped == 1


def test_sources_take_turns(make: Make) -> None:
    """One with many frames at hand leaves room for the others."""
    street = Street()
    with make(street, max_in_flight=2) as pipeline:
        results = list(pipeline.track([images(40), images(10)]))
    order = [result.source_index for result in results]
    assert order.count(0) == 40
    # By the time the short one has ended, the long one has had about as many turns.
    assert 5 <= order[: len(order) - order[::-1].index(1)].count(0) <= 18


def test_the_state_goes_on_where_it_was(make: Make) -> None:
    with make(Street()) as pipeline:
        whole = list(pipeline.track((image(n), n / 25) for n in range(40)))
        tracker = Tracker()
        first = []
        for result in pipeline.track(((image(n), n / 25) for n in range(40)), tracker=tracker):
            first.append(result)
            if len(first) == 17:
                break
        again = Tracker.from_state(json.loads(json.dumps(tracker.state())))
        rest = list(pipeline.track(((image(n), n / 25) for n in range(17, 40)), tracker=again))
    found = [(one.track_ids, one.arrays.keypoints.tolist()) for one in first + rest]
    assert found == [(one.track_ids, one.arrays.keypoints.tolist()) for one in whole]


def test_offline_fills_gaps_and_numbers_people_from_the_start(make: Make) -> None:
    street = Street()
    # The second one comes in frame 3; the first is unseen in frames 8 to 9, and from 20 to 27.
    gone = {*range(8, 10), *range(20, 28)}
    street.present = lambda number: tuple(
        one for one in (0, 1) if (one == 1 and number >= 3) or (one == 0 and number not in gone)
    )
    with make(street) as pipeline:
        results = list(pipeline.track(images(32), smooth="offline"))
    ids = [set(result.track_ids) for result in results]
    assert ids[2:5] == [{1}, {1, 2}, {1, 2}]
    assert ids[7:11] == [{1, 2}] * 4
    assert ids[20:28] == [{2}] * 8
    for number in (8, 9):
        assert abs(shown(results[number])[1] - place(0, number)[0]) < 3


def test_offline_reads_the_frames_of_a_file_again(make: Make, tmp_path: Path) -> None:
    frames = [np.full((48, 64, 3), 10 * number, np.uint8) for number in range(12)]
    path = write_video(tmp_path / "clip.mp4", frames)
    with make(Street()) as pipeline:
        results = list(pipeline.track([path, str(path)], smooth="offline"))
    assert [result.frame_index for result in results] == [*range(12)] * 2
    assert [number_of(result["input_img"]) for result in results] == [*range(12)] * 2
    assert {result.source for result in results} == {str(path)}


def test_offline_needs_an_end() -> None:
    with Pipeline("sync", Street()) as pipeline:
        with pytest.raises(ConfigError, match="end"):
            pipeline.track(0, smooth="offline")
        with pytest.raises(ConfigError, match="smooth=False"):
            pipeline.track("clip.mp4", smooth="offline", tracker=Tracker())


@pytest.mark.parametrize(
    "wrong",
    [
        {"det_interval": 0},
        {"det_interval": True},
        {"det_interval": 2.0},
        {"det_interval": "often"},
        {"smooth": "online"},
        {"smooth": 1},
        {"tracker": {}},
        {"det_threshold": 1.5},
        {"roi": [[0, 0]]},
        {"on_error": "ignore"},
        {"source": 3.5},
        {"source": []},
        {"source": ["a.mp4", "b.mp4"], "tracker": Tracker()},
    ],
    ids=lambda wrong: "-".join(wrong),
)
def test_wrong_arguments_are_errors_at_the_call(make: Make, wrong: dict[str, Any]) -> None:
    with make(Street()) as pipeline, pytest.raises(ConfigError):
        pipeline.track(**{"source": "clip.mp4", **wrong})


def test_leaving_early_leaves_no_thread_behind(make: Make) -> None:
    with make(Street()) as pipeline:
        results = pipeline.track(images(100))
        assert next(results).track_ids == (1, 2)
        results.close()
        assert not [one for one in threading.enumerate() if one.name == "tritonpose-frames"]
        pipeline.close()
        with pytest.raises(RuntimeError, match="closed"):
            pipeline.track("clip.mp4")


def test_closing_ends_a_track_that_waits_for_a_camera() -> None:
    pipeline = Pipeline("sync", Street())
    results = pipeline.track(Camera("camera", iter([1])))
    next(results)
    threading.Timer(0.1, pipeline.close).start()
    with pytest.raises(RuntimeError, match="closed"):
        next(results)


def test_thresholds_are_asked_for_with_room_for_weak_detections(make: Make) -> None:
    for chosen, asked in ((None, 0.3), (0.7, 0.3), (0.2, 0.2), ({"person": 0.6}, {"person": 0.6})):
        with make(street := Street()) as pipeline:
            list(pipeline.track(images(1), det_threshold=chosen))
        assert street.requests[0].det_threshold == asked
