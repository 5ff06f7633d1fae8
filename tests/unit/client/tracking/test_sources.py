"""The sources of ``track``: several, live ones, and ones that fail."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial

import cv2
import numpy as np
import pytest

from stand_ins import Pipeline
from street import Street, image, images
from tritonpose import InputError, InvalidRequestError
from tritonpose.inputs.videos import Frame
from tritonpose.tracking.feed import Feed

Make = Callable[..., Pipeline]


@pytest.fixture(params=["sync", "async", "async inputs"])
def make(request: pytest.FixtureRequest) -> Make:
    return partial(Pipeline, request.param)


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

    def __init__(
        self,
        name: str,
        frames: Iterator[int],
        image: Callable[[int], np.ndarray | bytes] = image,
        rate: float = 30,
    ) -> None:
        self.name, self._frames, self._image, self._rate = name, frames, image, rate
        self.dropped = self.reconnects = 0
        self.closed = threading.Event()

    def frames(self) -> Generator[Frame | InputError, None, None]:
        for index, number in enumerate(self._frames):
            yield Frame(self._image(number), index, index / self._rate)
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


@pytest.mark.parametrize("interval", [1, 3])
def test_files_of_a_camera_are_sent_as_they_are(make: Make, interval: int) -> None:
    """A damaged one counts as dropped: of a camera that is no reason to stop."""
    files = [cv2.imencode(".jpg", image(number))[1].tobytes() for number in range(6)]
    files[2] = files[2][: files[2].index(b"\xff\xda")] + b"\xff\xd9"
    street = Street()

    def behave(_: int) -> None:
        if street.requests[-1].image == files[2]:
            error = InvalidRequestError("it can't be decoded")
            error.code = "damaged_image"
            raise error

    def numbers() -> Iterator[int]:
        for number in range(len(files)):
            while len(street.requests) < number or street.running:
                time.sleep(0.001)
            yield number

    street.behave = behave
    camera = Camera("camera", numbers(), files.__getitem__)
    with make(street) as pipeline:
        results = pipeline.track(camera, det_interval=interval)
        shown = [next(results) for _ in range(len(files) - 1)]
        results.close()
    assert [request.image for request in street.requests] == files
    assert [result.frame_index for result in shown] == [0, 1, 3, 4, 5]
    assert [len(result["boxes"]) for result in shown] == [2] * 5
    assert shown[-1]["input_img"].shape == image(0).shape
    assert camera.dropped == 1


def test_few_frames_of_a_camera_are_no_reason_to_detect_in_each(make: Make) -> None:
    """A server that has too much to do answers few: it would have even more."""
    street = Street()

    def numbers() -> Iterator[int]:
        for number in range(16):
            while len(street.requests) < number or street.running:
                time.sleep(0.001)
            yield number

    with make(street) as pipeline:
        results = pipeline.track(Camera("camera", numbers(), rate=3), det_interval="auto")
        for _ in range(16):
            next(results)
        results.close()
    assert max(np.diff(street.detections())) == 3


def test_frames_of_a_camera_get_too_old() -> None:
    camera = Camera("camera", iter(()))
    feed = Feed(camera)
    now = time.monotonic()
    for arrived in (now - 5, now):
        feed._items.append(Frame(image(1), 0, arrived, arrived))
    assert feed.waits
    assert feed.take().time == now  # type: ignore[union-attr]
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


def test_closing_ends_a_track_that_waits_for_a_camera() -> None:
    pipeline = Pipeline("sync", Street())
    results = pipeline.track(Camera("camera", iter([1])))
    next(results)
    threading.Timer(0.1, pipeline.close).start()
    with pytest.raises(RuntimeError, match="closed"):
        next(results)
