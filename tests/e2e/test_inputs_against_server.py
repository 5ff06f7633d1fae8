"""Every kind of input through the real server, and what is saved of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from file_server import Route, file_server
from tritonpose import HumanKeypointPipeline, InputError, KeypointResult, create_pipeline
from tritonpose.create import create_async_pipeline
from tritonpose_server.embedded.server import EmbeddedServer
from videos import write_video


@pytest.fixture
def video(photo: Path, tmp_path: Path) -> Path:
    """The photo, its mirror image, and nobody."""
    frame = cv2.imread(str(photo))
    height, width = (side // 2 * 2 for side in frame.shape[:2])
    frame = frame[:height, :width]
    return write_video(tmp_path / "clip.avi", [frame, frame[:, ::-1], np.zeros_like(frame)])


def decoded(video: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(video))
    frames = [frame for read, frame in iter(capture.read, (False, None)) if read]
    capture.release()
    return frames


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def boxes_of(results: list[KeypointResult]) -> list[Any]:
    return [result.json["res"]["boxes"] for result in results]


def test_a_video_is_its_frames(
    pipeline: HumanKeypointPipeline, video: Path, tmp_path: Path
) -> None:
    results = list(pipeline.predict(video))
    assert [result["frame_index"] for result in results] == [0, 1, 2]
    assert [result["input_path"] for result in results] == [str(video)] * 3
    assert [len(result["boxes"]) for result in results] == [2, 2, 0]
    frames = decoded(video)
    assert boxes_of(results) == boxes_of(list(pipeline.predict(frames)))
    for result, frame in zip(results, frames, strict=True):
        np.testing.assert_array_equal(result["input_img"], frame)
        result.save_all(tmp_path / "out")
    assert names_in(tmp_path / "out") == [
        f"clip_frame00000{number}_res.{suffix}" for number in range(3) for suffix in ("jpg", "json")
    ]
    saved = json.loads((tmp_path / "out" / "clip_frame000001_res.json").read_text())
    assert saved == results[1].json["res"]


def test_videos_with_asyncio(server: EmbeddedServer, video: Path) -> None:
    async def predict() -> list[KeypointResult]:
        async with create_async_pipeline(
            "human_keypoint_detection", url=server.grpc_url
        ) as pipeline:
            return [
                result async for result in pipeline.predict([video, "gone.mp4"], on_error="collect")
            ]

    *frames, gone = asyncio.run(predict())
    assert [result["frame_index"] for result in frames] == [0, 1, 2]
    assert [len(result["boxes"]) for result in frames] == [2, 2, 0]
    assert isinstance(gone.error, InputError)


def test_a_url_is_its_file(pipeline: HumanKeypointPipeline, photo: Path, tmp_path: Path) -> None:
    with file_server() as files:
        url = files.add("/my%20photo.jpg?width=2", Route(photo.read_bytes()))
        missing = f"{files.address}/gone.jpg"
        results = list(pipeline.predict([url, missing, photo], on_error="collect"))
    assert [result["input_path"] for result in results] == [url, missing, str(photo)]
    fetched, failed, local = results
    assert boxes_of([fetched]) == boxes_of([local])
    assert len(fetched["boxes"]) == 2
    np.testing.assert_array_equal(fetched["input_img"], local["input_img"])
    assert isinstance(failed.error, InputError)
    assert "404 Not Found" in str(failed.error)
    fetched.save_all(tmp_path)
    assert names_in(tmp_path) == ["my photo_res.jpg", "my photo_res.json"]


def test_a_directory_is_saved_as_it_is(
    pipeline: HumanKeypointPipeline, photo: Path, video: Path, tmp_path: Path
) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    for name in ("x.jpg", "a/x.jpg", "b/x.jpg"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, source / name)
    shutil.copy(video, source / "a" / "clip.avi")
    (source / "b" / "broken.jpg").write_text("no photo")
    for result in pipeline.predict(source, on_error="collect"):
        result.save_to_json(target)
    frames = [f"a/clip_frame00000{number}_res.json" for number in range(3)]
    files = sorted(str(path.relative_to(target)) for path in target.rglob("*.json"))
    assert files == [
        *frames,
        *("a/x_res.json", "b/broken_res.json", "b/x_res.json", "x_res.json"),
    ]
    saved = [json.loads((target / name).read_text()) for name in files]
    assert [len(result["boxes"]) for result in saved] == [2, 2, 0, 2, 0, 2, 2]
    assert "looks like text" in saved[4]["error"]


def test_a_truncated_video_is_the_frames_that_can_be_read(
    pipeline: HumanKeypointPipeline, photo: Path, video: Path
) -> None:
    os.truncate(video, video.stat().st_size * 3 // 5)
    results = list(pipeline.predict([photo, video, photo]))
    # The second frame is cut, but OpenCV makes something of it.
    assert [result.get("frame_index") for result in results] == [None, 0, 1, None]


def test_endless_inputs_end_when_the_caller_does(
    pipeline: HumanKeypointPipeline, photo: Path, video: Path
) -> None:
    given = itertools.count()
    results = pipeline.predict([photo, video][number % 2] for number in given)
    taken = list(itertools.islice(results, 9))
    results.close()
    assert [result.get("frame_index") for result in taken] == [None, 0, 1, 2, None, 0, 1, 2, None]
    # The window of requests, and the video that is being read.
    assert next(given) <= 9 + 8


def test_results_render_and_export(server: EmbeddedServer, photo: Path) -> None:
    with create_pipeline("human_keypoint_detection", url=server.grpc_url) as pipeline:
        (result,) = pipeline.predict(photo)
    plain = np.asarray(result.img["res"]).astype(int)
    labeled = np.asarray(result.render(boxes=True, scores=True, ids=True)).astype(int)
    changed = (plain != labeled).any(axis=2)
    for person in result["boxes"]:
        left, top, _, bottom = (round(float(value)) for value in person["coordinate"])
        assert changed[top:bottom, left].mean() > 0.5
    table = result.to_dataframe()
    assert (len(table), set(table["input_path"])) == (2 * 17, {str(photo)})
    nose, expected = table.iloc[0], result["boxes"][0]["keypoints"][0]
    assert [nose["x"], nose["y"], nose["score"]] == expected.tolist()
    (first, _) = result.to_coco(image_id=1)
    assert first["keypoints"][:2] == expected[:2].tolist()
