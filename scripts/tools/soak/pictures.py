"""Pictures whose answers are known, so that a wrong or swapped answer shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tools.errors import ToolError
from tritonpose.transport.messages import PoseResponse

# How far equal answers may be apart: crops are batched differently from time to time.
_BOX_PIXELS = 0.05
_KEYPOINT_PIXELS = 0.2
_SCORE = 0.002

_LONGEST_SIDE = 400


@dataclass(frozen=True)
class Picture:
    """An image file and the people in it, found without load."""

    data: bytes
    answer: PoseResponse


def cut_pictures(photo: Path) -> list[bytes]:
    """Cut JPEG files from a photo, which differ in size and in the people they show."""
    frame = cv2.imread(str(photo))
    if frame is None:
        raise ToolError(f"{photo} can't be read as an image")
    factor = _LONGEST_SIDE / max(frame.shape[:2])
    small = cv2.resize(frame, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    height, width = small.shape[:2]
    variants = [
        small,
        cv2.flip(small, 1),
        small[: height * 2 // 3],
        cv2.flip(small[height // 4 :], 1),
        small[:, : width * 3 // 4],
        small[:, width // 4 :],
        cv2.resize(small, None, fx=0.8, fy=0.7, interpolation=cv2.INTER_AREA),
        np.full((height // 2, width // 2, 3), 90, np.uint8),
    ]
    return [cv2.imencode(".jpg", variant)[1].tobytes() for variant in variants]


def answered_pictures(
    files: Sequence[bytes], infer: Callable[[bytes], PoseResponse]
) -> list[Picture]:
    """Find the answers of files, one by one; they must show people, to be told apart."""
    pictures = [Picture(data, infer(data)) for data in files]
    if not any(len(picture.answer.boxes) for picture in pictures):
        raise ToolError("nobody is found on the photo: give another one with --photo")
    return pictures


def differences(answer: PoseResponse, expected: PoseResponse) -> str | None:
    """Describe how two answers differ by more than rounding; None where they agree."""
    if len(answer.boxes) != len(expected.boxes):
        return f"{len(answer.boxes)} people instead of {len(expected.boxes)}"
    for name, tolerance in (
        ("boxes", _BOX_PIXELS),
        ("det_scores", _SCORE),
        ("kpt_scores", _SCORE),
    ):
        far = np.abs(getattr(answer, name) - getattr(expected, name)).max(initial=0)
        # Written so that NaN differs, too.
        if not far <= tolerance:
            return f"{name} differ by {far:g}"
    # Rounding may move a joint with a low score far.
    seen = expected.keypoints[..., 2] > 0.3
    offsets = np.abs(answer.keypoints - expected.keypoints)[seen][:, :2]
    if not offsets.max(initial=0) <= _KEYPOINT_PIXELS:
        return f"keypoints differ by {offsets.max():g} px"
    return None


def malformed(answer: PoseResponse) -> str | None:
    """Describe what is wrong with an answer to any image; None where nothing is."""
    if not all(
        np.isfinite(array).all()
        for array in (answer.boxes, answer.det_scores, answer.keypoints, answer.kpt_scores)
    ):
        return "numbers that are not finite"
    if (answer.boxes < 0).any() or (answer.boxes[:, :2] >= answer.boxes[:, 2:]).any():
        return "a box without area or beyond the image"
    if (np.diff(answer.det_scores) > 0).any():
        return "people out of order"
    return None
