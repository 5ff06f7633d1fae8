"""Pictures whose answers are known, so that a wrong or swapped answer shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tools.errors import SoakError
from tritonpose.transport.messages import PoseResponse

# How far equal answers may be apart: crops are batched differently from time to time.
_BOX_PIXELS = 0.05
_KEYPOINT_PIXELS = 0.2
_SCORE = 0.002

_LONGEST_SIDE = 400


@dataclass(frozen=True)
class Picture:
    """An image file and what is in it.

    Attributes:
        data: The file.
        answer: The people in it, found while nothing else was asked.
    """

    data: bytes
    answer: PoseResponse


def cut_pictures(photo: Path) -> list[bytes]:
    """JPEG files cut from a photo, which differ in size and in who is on them.

    Raises:
        SoakError: The photo can't be read.
    """
    frame = cv2.imread(str(photo))
    if frame is None:
        raise SoakError(f"{photo} is no image that can be read")
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


def know(files: Sequence[bytes], answer: Callable[[bytes], PoseResponse]) -> list[Picture]:
    """Have the answers of files given, one by one.

    Raises:
        SoakError: Nobody is on any of them: nothing could be told apart.
    """
    pictures = [Picture(data, answer(data)) for data in files]
    if not any(len(picture.answer.boxes) for picture in pictures):
        raise SoakError("nobody is found on the photo: give another one with --photo")
    return pictures


def differences(answer: PoseResponse, expected: PoseResponse) -> str | None:
    """In what two answers differ by more than rounding; None where they agree."""
    if len(answer.boxes) != len(expected.boxes):
        return f"{len(answer.boxes)} persons instead of {len(expected.boxes)}"
    for name, tolerance in (
        ("boxes", _BOX_PIXELS),
        ("det_scores", _SCORE),
        ("kpt_scores", _SCORE),
    ):
        far = np.abs(getattr(answer, name) - getattr(expected, name)).max(initial=0)
        # Written so that NaN differs, too.
        if not far <= tolerance:
            return f"{name} differ by {far:g}"
    # Where a joint is hardly seen, rounding may move it far.
    seen = expected.keypoints[..., 2] > 0.3
    offsets = np.abs(answer.keypoints - expected.keypoints)[seen][:, :2]
    if not offsets.max(initial=0) <= _KEYPOINT_PIXELS:
        return f"keypoints differ by {offsets.max():g} px"
    return None


def malformed(answer: PoseResponse) -> str | None:
    """What no answer may have, whatever the image; None where there is nothing."""
    if not all(
        np.isfinite(array).all()
        for array in (answer.boxes, answer.det_scores, answer.keypoints, answer.kpt_scores)
    ):
        return "numbers that are not finite"
    if (answer.boxes < 0).any() or (answer.boxes[:, :2] >= answer.boxes[:, 2:]).any():
        return "a box without area or beyond the image"
    if (np.diff(answer.det_scores) > 0).any():
        return "persons out of order"
    return None
