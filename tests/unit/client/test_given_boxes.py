"""Boxes of people that the caller has found, and the region in which people count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from stand_ins import Pipeline, StandIn, frame, frames
from tritonpose import ConfigError, InputError
from videos import gray_frames, write_video

Make = Callable[..., Pipeline]

ONE = [[1, 2, 3, 4], [5.5, 6, 7, 8]]
OTHER = [[10, 20, 30, 40]]


@pytest.fixture(params=["sync", "async", "async inputs"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes a pipeline of either kind, or one whose iterators are made asynchronous, too."""
    return partial(Pipeline, request.param)


def sent(transport: StandIn) -> list[list | None]:
    """What was sent, in the order of the frames' numbers."""
    requests = sorted(
        transport.requests,
        key=lambda each: 0 if each.frame is None else int(each.frame[0, 0, 0]),
    )
    return [None if each.person_boxes is None else each.person_boxes.tolist() for each in requests]


@pytest.mark.parametrize(
    "boxes",
    [
        ONE,
        tuple(map(tuple, ONE)),
        np.array(ONE),
        np.array(ONE, np.float16),
        [np.array(ONE[0]), ONE[1]],
    ],
    ids=["list", "tuple", "array", "other dtype", "list of arrays"],
)
def test_boxes_of_one_image(make: Make, boxes: object) -> None:
    transport = StandIn()
    with make(transport) as pipeline:
        assert len(list(pipeline.predict(frame(0), boxes=boxes))) == 1
    assert sent(transport) == [ONE]
    assert transport.requests[0].person_boxes.dtype == np.float32


@pytest.mark.parametrize("boxes", [[], (), np.zeros((0, 4)), np.zeros(0), [[]], [np.zeros((0, 4))]])
def test_nobody(make: Make, boxes: object) -> None:
    transport = StandIn()
    with make(transport) as pipeline:
        list(pipeline.predict([frame(0)], boxes=boxes))
        assert list(pipeline.predict([], boxes=[])) == []
    (request,) = transport.requests
    assert request.person_boxes.shape == (0, 4)


@pytest.mark.parametrize("kind", [list, tuple, iter])
def test_boxes_of_each_image(make: Make, kind: Callable[[list], object]) -> None:
    transport = StandIn()
    boxes = kind([ONE, None, [], np.array(OTHER)])
    with make(transport) as pipeline:
        assert len(list(pipeline.predict(frames(4), boxes=boxes))) == 4
    assert sent(transport) == [ONE, None, [], OTHER]


def test_an_array_of_as_many_people_in_each_image(make: Make) -> None:
    transport = StandIn()
    with make(transport) as pipeline:
        list(pipeline.predict(frames(2), boxes=np.array([OTHER, OTHER])))
    assert sent(transport) == [OTHER, OTHER]


def test_boxes_of_each_frame_of_a_video(make: Make, tmp_path: Path) -> None:
    video = tmp_path / "clip.mp4"
    write_video(video, gray_frames(3))
    boxes = [[[number, 0, 9, 9]] for number in range(3)]
    transport = StandIn()
    with make(transport, max_in_flight=1) as pipeline:
        list(pipeline.predict(video, boxes=boxes))
        assert [each.person_boxes.tolist() for each in transport.requests] == boxes
        failed, *_ = pipeline.predict(video, boxes={str(video): ONE}, on_error="collect")
    with pytest.raises(InputError, match=r"can't tell the frames of .*clip\.mp4' apart"):
        raise failed.error


def test_boxes_by_path(make: Make, tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("a.png", "b.png", "c.png")]
    for path in paths:
        cv2.imwrite(path, frame(0))
    transport = StandIn()
    with make(transport, max_in_flight=1) as pipeline:
        boxes = {Path(paths[1]): None, paths[0]: ONE}
        results = list(pipeline.predict([*paths, frame(0)], boxes=boxes, on_error="collect"))
    assert [each.person_boxes is None for each in transport.requests] == [False, True]
    assert transport.requests[0].person_boxes.tolist() == ONE
    assert [each["input_path"] for each in results[:3]] == paths
    messages = [str(each.error) for each in results]
    assert messages[:2] == ["None", "None"]
    assert messages[2].startswith(f"boxes has no entry for {paths[2]!r}")
    assert "given by path, but this input has none" in messages[3]


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([1, 2, 3, 4], r"boxes must be float32 \[N, 4\] \(x1, y1, x2, y2\), got \[4\]"),
        ([[1, 2, 3]], r"got \[1, 3\]"),
        ([[1, 2, 3, 4], [5, 6]], "boxes must be lists of numbers, all of one length"),
        ([["left", 2, 3, 4]], "boxes must be lists of numbers"),
        ([[1, 2, 3, 4], [3, 2, 1, 4]], r"boxes must have x1 < x2 .* box 1 is \[3.0, 2.0, 1.0, 4.0"),
        ([[1, 2, np.nan, 4]], "box 0 is"),
        ([[1, 2, 10**400, 4]], "boxes must be lists of numbers"),
        ([[1, 2, 1e300, 4]], r"box 0 is \[1.0, 2.0, inf, 4.0\]"),
        ([[1, 2, 3e9, 4]], "within 1000000 pixels, box 0"),
        ([None, OTHER, [[1, 2, 1, 4]]], r"boxes\[2\] must have x1 < x2"),
        ({"a.jpg": [[1, 2, 3]]}, r"boxes\['a.jpg'\] must be float32 \[N, 4\]"),
        ("1,2,3,4", "boxes of type str"),
        (5, "boxes of type int"),
    ],
)
def test_wrong_boxes_are_refused_at_the_call(make: Make, boxes: object, message: str) -> None:
    with make(StandIn()) as pipeline, pytest.raises(ConfigError, match=message):
        pipeline.wrapped.predict(frame(0), boxes=boxes)


@pytest.mark.parametrize(
    ("boxes", "results", "message"),
    [
        (ONE, 1, "boxes are of 1 image, but there are more: give .* a list of such"),
        ([ONE, ONE], 2, "boxes are of 2 images, but there are more"),
        ([ONE] * 4, 3, "boxes are of 4 images, but there were only 3"),
    ],
)
def test_boxes_that_do_not_match_the_images(
    make: Make, boxes: object, results: int, message: str
) -> None:
    """Never silently of the wrong image: an error, after the results before it."""
    with make(StandIn()) as pipeline:
        found = pipeline.predict(frames(3), boxes=boxes, on_error="collect")
        for _ in range(results):
            next(found)
        with pytest.raises(ConfigError, match=message):
            next(found)


def test_wrong_boxes_of_an_iterator_come_after_earlier_results(make: Make) -> None:
    with make(StandIn()) as pipeline:
        results = pipeline.predict(frames(3), boxes=iter([ONE, [[1, 2, 1, 4]]]))
        next(results)
        with pytest.raises(ConfigError, match=r"boxes\[1\] must have x1 < x2"):
            next(results)


def test_an_error_of_the_callers_boxes_comes_after_earlier_results(make: Make) -> None:
    def broken_tracker() -> Iterator[list]:
        yield ONE
        raise KeyError("tracker")

    with make(StandIn()) as pipeline:
        results = pipeline.predict(frames(3), boxes=broken_tracker())
        next(results)
        with pytest.raises(KeyError, match="tracker"):
            next(results)


def test_a_file_of_several_pages_has_no_boxes(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "scan.tif"
    page = Image.new("L", (8, 8))
    page.save(path, save_all=True, append_images=[page])
    with make(StandIn()) as pipeline:
        with pytest.raises(InputError, match=r"boxes are of one image, but .* holds 2"):
            list(pipeline.predict(path, boxes=ONE))
        page.save(path)
        assert len(list(pipeline.predict(path, boxes=ONE))) == 1


def test_a_region_is_sent_with_all_images(make: Make) -> None:
    transport = StandIn()
    corners = [(0, 0), (4, 0), (2, 6.5)]
    with make(transport) as pipeline:
        list(pipeline.predict(frames(2), roi=corners, boxes=[ONE, None]))
        list(pipeline.predict(frames(1)))
    first, second, plain = transport.requests
    for request in (first, second):
        assert request.roi.dtype == np.float32
        assert request.roi.tolist() == [[0, 0], [4, 0], [2, 6.5]]
    assert (plain.roi, plain.person_boxes) == (None, None)
    assert [name for name, _, _ in plain.tensors()] == ["frame"]


@pytest.mark.parametrize(
    ("roi", "message"),
    [
        ([], r"roi must be float32 \[M, 2\]"),
        ([[0, 0], [1, 1]], "roi must be a polygon of 3 to 1000 corners, got 2"),
        ([[0, 0], [1, 1], [2, 2]], "roi must have an area"),
        ([[0, 0], [1, 1], [2]], "roi must be lists of numbers, all of one length"),
        ("0,0,1,1", "roi must be lists of numbers"),
    ],
)
def test_wrong_regions_are_refused_at_the_call(make: Make, roi: object, message: str) -> None:
    with make(StandIn()) as pipeline, pytest.raises(ConfigError, match=message):
        pipeline.wrapped.predict(frame(0), roi=roi)
