"""In which images of a stream the detector looks, and who is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from poses import people
from tritonpose.transport.messages import PoseResponse
from tritonpose_server.service.rest.follower import Follower


def photo(gray: int, left: int = 640) -> bytes:
    """A gray image; right of its ``left`` part it is white."""
    image = np.full((480, 640, 3), gray, np.uint8)
    image[:, left:] = 255
    return cv2.imencode(".jpg", image)[1].tobytes()


def standing() -> PoseResponse:
    """Somebody in the middle of the image, seen clearly."""
    found = people(1)
    across, down = np.meshgrid(np.linspace(260, 380, 3), np.linspace(120, 360, 6))
    points = np.stack([across.ravel()[:17], down.ravel()[:17]], axis=1)
    keypoints = np.concatenate([points, np.full((17, 1), 0.9)], axis=1)[None]
    return replace(
        found,
        boxes=np.float32([[240, 100, 400, 380]]),
        det_scores=np.float32([0.9]),
        keypoints=keypoints.astype(np.float32),
        kpt_scores=np.float32([0.9]),
    )


async def looked(
    follower: Follower, images: list[bytes], failing: tuple[int, ...] = ()
) -> list[bool]:
    """Whether the detector was asked to look in each of the images."""
    asked = []
    for number, image in enumerate(images):
        request = await follower.request(image, "name")
        asked.append(request.person_boxes is None)
        if number in failing:
            follower.fail()
            continue
        result = follower.take(standing(), number / 30)
        assert result.track_ids == (1,)
    return asked


async def at_once(work: Callable[[], Any]) -> Any:
    return work()


def test_the_detector_looks_now_and_then() -> None:
    asked = asyncio.run(looked(Follower(at_once), [photo(90)] * 40))
    assert asked[0]
    assert 3 <= sum(asked) <= 12


def test_the_detector_looks_as_often_as_is_said() -> None:
    follower = Follower(at_once)
    follower.change({"detInterval": 4})
    assert asyncio.run(looked(follower, [photo(90)] * 9)) == [True, *[False] * 3] * 2 + [True]
    follower = Follower(at_once)
    follower.change({"detInterval": 1})
    assert all(asyncio.run(looked(follower, [photo(90)] * 5)))


def test_the_detector_looks_after_a_failure_and_in_another_scene() -> None:
    follower = Follower(at_once)
    follower.change({"detInterval": 8})
    asked = asyncio.run(looked(follower, [photo(90)] * 4, failing=(1,)))
    assert asked == [True, False, True, False]
    follower = Follower(at_once)
    follower.change({"detInterval": 8})
    asked = asyncio.run(looked(follower, [photo(10)] * 3 + [photo(10, 320)] * 3))
    assert asked == [True, False, False, True, False, False]


def test_the_detector_looks_in_each_image_that_is_no_jpeg() -> None:
    image = cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    assert all(asyncio.run(looked(Follower(at_once), [image] * 4)))


def test_the_threshold_is_that_of_who_is_shown() -> None:
    follower = Follower(at_once)
    follower.change({"detThreshold": 0.95, "smooth": False, "detInterval": 1})
    asyncio.run(follower.request(photo(90), "name"))
    assert not follower.take(standing(), 0.0).track_ids
    follower.change({"detThreshold": 0.05})
    request = asyncio.run(follower.request(photo(90), "name"))
    assert request.det_threshold == 0.05
