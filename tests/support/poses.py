"""Made-up people and results."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tritonpose import KeypointResult
from tritonpose._requests import result_of
from tritonpose.inputs import ImageInput
from tritonpose.tracking import TrackedResult
from tritonpose.transport.messages import PoseResponse


def people(count: int, seed: int = 0) -> PoseResponse:
    """A server's answer with random people, by descending detector score."""
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 300, (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(50, 150, (count, 2))], axis=1)
    keypoints = random.uniform(0, 1, (count, 17, 3))
    keypoints[..., :2] = corners[:, None] + keypoints[..., :2] * 50
    return PoseResponse(
        boxes=boxes.astype(np.float32),
        det_scores=np.sort(random.uniform(0, 1, count))[::-1].astype(np.float32),
        keypoints=keypoints.astype(np.float32),
        kpt_scores=keypoints[..., 2].mean(axis=1).astype(np.float32),
    )


def made_up_result(
    count: int, path: str | None = "photo.jpg", *, frame_index: int | None = None
) -> KeypointResult:
    """A result with this many people; some of their keypoints score less than 0.1."""
    frame = np.zeros((480, 640, 3), np.uint8)
    return result_of(ImageInput(path, frame, frame_index=frame_index), people(count, seed=count))


def tracked_result(
    ids: Sequence[int | None],
    frame_index: int = 0,
    *,
    path: str = "clip.mp4",
    timestamp: float | None = None,
    size: tuple[int, int] = (480, 640),
) -> TrackedResult:
    """A frame of a video, of (height, width), with one person per id, drawn at random by frame."""
    seconds = frame_index / 10 if timestamp is None else timestamp
    found = people(len(ids), seed=frame_index)
    frame = ImageInput(
        path, np.full((*size, 3), 90, np.uint8), frame_index=frame_index, frame_time=seconds
    )
    return TrackedResult(result_of(frame, found), found, ids, seconds, path)
