"""The client against the real server: every input, with and without asyncio, both transports."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import resource
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import reference_data
from file_server import Route, file_server
from tritonpose import (
    AsyncPipeline,
    InputError,
    KeypointResult,
    ServerUnavailableError,
    create_async_pipeline,
)
from tritonpose_server.embedded.server import EmbeddedServer
from twins import EVERY_CLIENT, ONE_OF_EACH, predict_all, predict_each, url_of
from videos import write_video

Frame = NDArray[np.uint8]
Predict = Callable[..., list[KeypointResult]]

WARM_UP = 50
IMAGES = 100


@pytest.fixture(params=["grpc", "http", "grpc-async", "http-async"])
def predict(request: pytest.FixtureRequest, server: EmbeddedServer) -> Predict:
    """Send images by a client of each kind and collect the results."""
    scheme, *asynchronous = request.param.split("-")
    return partial(predict_all, bool(asynchronous), url=url_of(server, scheme))


def assert_same(results: Sequence[KeypointResult], expected: Sequence[KeypointResult]) -> None:
    """Equal but for rounding: batches differ from run to run."""
    for one, other in zip(results, expected, strict=True):
        np.testing.assert_array_equal(one["input_img"], other["input_img"])
        for box, expected_box in zip(one["boxes"], other["boxes"], strict=True):
            np.testing.assert_allclose(box["coordinate"], expected_box["coordinate"], atol=0.01)
            np.testing.assert_allclose(box["keypoints"], expected_box["keypoints"], atol=0.1)


def decoded(video: Path) -> list[Frame]:
    capture = cv2.VideoCapture(str(video))
    frames = [frame for read, frame in iter(capture.read, (False, None)) if read]
    capture.release()
    return frames


def test_every_kind_of_input_in_order(
    predict: Predict, server: EmbeddedServer, photo: Path, tmp_path: Path
) -> None:
    frame = cv2.imread(str(photo))
    height, width = (side // 2 * 2 for side in frame.shape[:2])
    even = frame[:height, :width]
    video = write_video(tmp_path / "clip.avi", [even, even[:, ::-1], np.zeros_like(even)])
    nobody = np.zeros((64, 64, 3), np.uint8)
    folder = tmp_path / "folder"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), frame)
    cv2.imwrite(str(folder / "b.tiff"), nobody)
    with file_server() as files:
        url = files.add("/my%20photo.jpg?width=2", Route(photo.read_bytes()))
        results = predict([frame, str(photo), folder, url, video, frame[200:], photo.read_bytes()])
    assert [result["input_path"] for result in results] == [
        *(None, str(photo), str(folder / "a.png"), str(folder / "b.tiff"), url),
        *(str(video), str(video), str(video), None, None),
    ]
    assert [result.get("frame_index") for result in results] == [*[None] * 5, 0, 1, 2, None, None]
    assert [len(result["boxes"]) for result in results] == [2, 2, 2, 0, 2, 2, 2, 0, 1, 2]
    frames = [frame, frame, frame, nobody, frame, *decoded(video), frame[200:], frame]
    assert_same(results, predict_all(False, frames, url=server.grpc_url))


def test_a_video_on_its_side_gives_the_boxes_of_the_upright_one(
    server: EmbeddedServer, photo: Path, tmp_path: Path
) -> None:
    height, width = (side // 2 * 2 for side in cv2.imread(str(photo)).shape[:2])
    frame = cv2.imread(str(photo))[:height, :width]
    # As phones record: the sensor's rows, and how to turn them.
    turned = np.rot90(frame, -1)
    lossless = {"codec": "png", "pixels": "rgb24"}
    videos = [
        write_video(tmp_path / "upright.mov", [frame] * 2, **lossless),
        write_video(tmp_path / "phone.mov", [turned] * 2, turned=90, **lossless),
    ]
    results = predict_all(False, videos, url=server.grpc_url)
    assert [result["frame_index"] for result in results] == [0, 1, 0, 1]
    assert [result["frame_time"] for result in results] == [0, 0.1, 0, 0.1]
    assert [len(result["boxes"]) for result in results] == [2] * 4
    assert_same(results[2:], results[:2])


@reference_data.needed
def test_both_kinds_of_clients_give_the_same_on_the_reference_images(url: str) -> None:
    images = str(reference_data.ROOT / "images")
    results = predict_all(True, images, url=url)
    assert len(results) > 10
    assert_same(results, predict_all(False, images, url=url))


def test_a_result_is_printed_saved_drawn_and_exported(
    server: EmbeddedServer, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (result,) = predict_all(False, photo, url=server.grpc_url)
    result.print()
    result.save_all(str(tmp_path))
    assert capsys.readouterr().out.startswith("{'res': {'input_path': ")
    saved = json.loads((tmp_path / f"{photo.stem}_res.json").read_text())
    assert saved == result.json["res"]
    person = saved["boxes"][0]
    assert set(person) == {"coordinate", "det_score", "keypoints", "kpt_score"}
    assert np.array(person["keypoints"]).shape == (17, 3)
    drawn = cv2.imread(str(tmp_path / f"{photo.stem}_res{photo.suffix}"))
    x, y = np.array(person["keypoints"])[5, :2].round().astype(int)
    # The left shoulder's circle is saturated; the shirt under it is not.
    assert np.ptp(drawn[y, x]) > np.ptp(cv2.imread(str(photo))[y, x]) + 50
    table = result.to_dataframe()
    assert (len(table), set(table["input_path"])) == (2 * 17, {str(photo)})
    nose, expected = table.iloc[0], result["boxes"][0]["keypoints"][0]
    assert [nose["x"], nose["y"], nose["score"]] == expected.tolist()
    (first, _) = result.to_coco(image_id=1)
    assert first["keypoints"][:2] == expected[:2].tolist()


def test_bad_inputs_do_not_lose_the_others(predict: Predict, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.jpg").write_text("Dear friend,\nthis is no photo.\n")
    (tmp_path / "damaged.jpg").write_bytes(photo.read_bytes()[:200])
    with file_server() as files:
        reasons = {
            str(tmp_path / "letter.jpg"): "looks like text",
            str(tmp_path / "damaged.jpg"): "begins like a JPEG",
            str(tmp_path / "missing.jpg"): "no such file",
            str(tmp_path / "missing.mp4"): "no such file",
            f"{files.address}/gone.jpg": "404 Not Found",
        }
        first, *failed, last = predict([photo, *reasons, photo], on_error="collect")
    for result, (path, reason) in zip(failed, reasons.items(), strict=True):
        assert result["input_path"] == path
        assert isinstance(result.error, InputError)
        assert reason in str(result.error)
        assert len(result["boxes"]) == 0
    for result in (first, last):
        assert result.error is None
        assert len(result["boxes"]) == 2
    with pytest.raises(InputError, match=r"letter\.jpg.*text"):
        predict(tmp_path / "letter.jpg")


def test_threshold_of_the_call(predict: Predict, photo: Path) -> None:
    assert [len(predict(photo, det_threshold=each)[0]["boxes"]) for each in (0.6, 1)] == [1, 0]


@EVERY_CLIENT
def test_no_server(scheme: str, asynchronous: bool, photo: Path) -> None:
    with pytest.raises(ServerUnavailableError, match=r"127\.0\.0\.1:9 .*tritonpose serve"):
        predict_all(asynchronous, photo, url=f"{scheme}://127.0.0.1:9")


def test_an_endless_asynchronous_source_and_an_early_end(url: str, photo: Path) -> None:
    frame = cv2.resize(cv2.imread(str(photo)), (480, 360)).astype(np.uint8)
    read: list[int] = []

    async def camera() -> AsyncIterator[Frame]:
        while True:
            await asyncio.sleep(0.001)
            read.append(len(read))
            yield frame

    async def take(pipeline: AsyncPipeline, count: int) -> int:
        people = 0
        async for result in pipeline.predict(camera()):
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


def resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@ONE_OF_EACH
def test_memory_stays_flat_over_an_endless_source(
    scheme: str, asynchronous: bool, server: EmbeddedServer
) -> None:
    nobody = np.full((480, 640, 3), 90, np.uint8)
    seen = itertools.count(1)
    memory = {}

    class EnoughError(Exception):
        """Ends the endless source."""

    def visit(_: KeypointResult) -> None:
        number = next(seen)
        if number in (WARM_UP, IMAGES):
            memory[number] = resident_bytes()
        if number == IMAGES:
            raise EnoughError

    with contextlib.suppress(EnoughError):
        predict_each(asynchronous, itertools.repeat(nobody), visit, url=url_of(server, scheme))
    # Were all images kept, it would be 46 MB.
    assert memory[IMAGES] - memory[WARM_UP] < 20e6
