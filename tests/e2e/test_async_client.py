"""The asynchronous client against the real server: the same results as its synchronous twin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import reference_data
from tritonpose import (
    AsyncPipeline,
    InputError,
    KeypointResult,
    ServerUnavailableError,
    create_async_pipeline,
)
from tritonpose_server.embedded.server import EmbeddedServer
from twins import predict_all

Frame = NDArray[np.uint8]


@pytest.fixture(params=["grpc", "http"])
def url(request: pytest.FixtureRequest, server: EmbeddedServer) -> str:
    return server.grpc_url if request.param == "grpc" else server.http_url


def assert_same(results: list[KeypointResult], expected: list[KeypointResult]) -> None:
    """Equal but for rounding: batches differ from run to run."""
    assert [r["input_path"] for r in results] == [r["input_path"] for r in expected]
    for one, other in zip(results, expected, strict=True):
        np.testing.assert_array_equal(one["input_img"], other["input_img"])
        assert len(one["boxes"]) == len(other["boxes"])
        for box, expected_box in zip(one["boxes"], other["boxes"], strict=True):
            np.testing.assert_allclose(box["coordinate"], expected_box["coordinate"], atol=0.01)
            np.testing.assert_allclose(box["keypoints"], expected_box["keypoints"], atol=0.1)


def test_same_results_as_the_synchronous_twin(url: str, photo: Path, tmp_path: Path) -> None:
    frame = cv2.imread(str(photo))
    cv2.imwrite(str(tmp_path / "a.png"), cv2.flip(frame, 1))
    cv2.imwrite(str(tmp_path / "b.tiff"), np.zeros((64, 64, 3), np.uint8))
    inputs = [frame, photo, tmp_path, frame[200:]]
    results = predict_all(True, inputs, url=url)
    assert [len(result["boxes"]) for result in results] == [2, 2, 2, 0, 1]
    assert_same(results, predict_all(False, inputs, url=url))


@reference_data.needed
def test_same_results_on_the_reference_images(url: str) -> None:
    images = str(reference_data.ROOT / "images")
    results = predict_all(True, images, url=url)
    assert len(results) > 10
    assert_same(results, predict_all(False, images, url=url))


def test_an_asynchronous_source_and_other_work_beside_it(url: str, photo: Path) -> None:
    frame = cv2.imread(str(photo))

    async def camera() -> AsyncIterator[Frame]:
        for _ in range(6):
            await asyncio.sleep(0.01)
            yield frame.astype(np.uint8)

    async def test() -> tuple[list[int], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticking = asyncio.create_task(tick())
        async with create_async_pipeline("human_keypoint_detection", url=url) as pipeline:
            people = [len(r["boxes"]) async for r in pipeline.predict(camera(), threshold=0.6)]
        ticking.cancel()
        return people, ticks

    people, ticks = asyncio.run(test())
    assert people == [1] * 6
    assert ticks > 20


def test_one_bad_input_does_not_lose_the_others(url: str, photo: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(photo.read_bytes()[:200])
    inputs = [str(photo), str(damaged), tmp_path / "missing.jpg", str(photo)]
    results = predict_all(True, inputs, url=url, on_error="collect")
    assert [len(result["boxes"]) for result in results] == [2, 0, 0, 2]
    assert [type(r.error) for r in results] == [type(None), InputError, InputError, type(None)]


def test_an_endless_source_and_an_early_end(url: str, photo: Path) -> None:
    frame = cv2.resize(cv2.imread(str(photo)), (480, 360)).astype(np.uint8)
    read: list[int] = []

    def endless() -> Iterator[Frame]:
        while True:
            read.append(len(read))
            yield frame

    async def take(pipeline: AsyncPipeline, count: int) -> int:
        people = 0
        async for result in pipeline.predict(endless()):
            people += len(result["boxes"])
            count -= 1
            if not count:
                break
        return people

    async def test() -> None:
        async with create_async_pipeline(
            "human_keypoint_detection", url=url, max_in_flight=4
        ) as pipeline:
            assert await take(pipeline, 20) == 40
            assert len(read) <= 20 + 2 * 4
            # A consumer that is cancelled takes its requests with it; the others go on.
            doomed = asyncio.create_task(take(pipeline, 10_000))
            await asyncio.sleep(0.2)
            doomed.cancel()
            with pytest.raises(asyncio.CancelledError):
                await doomed
            assert await take(pipeline, 5) == 10
        await asyncio.sleep(0.01)  # asyncio itself closes the generators that were left early
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(test())


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_no_server(scheme: str, photo: Path) -> None:
    with pytest.raises(ServerUnavailableError, match=r"127\.0\.0\.1:9 .*tritonpose serve"):
        predict_all(True, photo, url=f"{scheme}://127.0.0.1:9")
