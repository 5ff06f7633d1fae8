"""OpenPose's JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tritonpose.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tritonpose.result import KeypointResult

# The orders of OpenPose's models, by the names of this project's presets.
_COCO_18 = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist"),
    *("left_shoulder", "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle"),
    *("left_hip", "left_knee", "left_ankle", "right_eye", "left_eye", "right_ear", "left_ear"),
)
_BODY_25 = (
    *_COCO_18[:8],
    "hip",
    *_COCO_18[8:],
    *("left_big_toe", "left_small_toe", "left_heel"),
    *("right_big_toe", "right_small_toe", "right_heel"),
)
ORDERS = {"body_25": _BODY_25, "coco_18": _COCO_18}
# Points that OpenPose has between two others.
_BETWEEN = {"neck": ("left_shoulder", "right_shoulder"), "hip": ("left_hip", "right_hip")}

_FACE = tuple(f"face-{index}" for index in range(68))
_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
_HAND = ("hand_root", *(f"{finger}{joint}" for finger in _FINGERS for joint in range(1, 5)))
# OpenPose's 70 end with the pupils.
_NO_PUPILS = (0.0, 0.0, 0.0) * 2


def openpose_json(result: KeypointResult, order: str | None = None) -> dict[str, Any]:
    """Make what OpenPose writes with ``--write_json``, version 1.3.

    The format: https://github.com/CMU-Perceptual-Computing-Lab/openpose/blob/master/doc/02_output.md.

    Args:
        result: The people in one image.
        order: ``body_25`` or ``coco_18``, OpenPose's models; ``own``, the keypoints as they are.
            Default: ``body_25`` if the keypoints have the names of COCO's 17 and perhaps more,
            else ``own``.

    Returns:
        A dict of plain numbers; per person ``pose_keypoints_2d``, x, y, score of each keypoint in
        pixels. A neck and a hip that the model lacks are between shoulders and hips, with the lower
        score of the two; other points that it lacks are 0, 0, 0, as OpenPose writes them. With the
        names of `coco133`, also face and hands.

    Raises:
        ConfigError: The order is none of these, or one of OpenPose's for keypoints that have other
            names.
        TritonPoseError: The result has an `error`: its file would say that nobody is there.
    """
    if result.error is not None:
        raise result.error
    people = result.arrays
    names = people.schema.names
    fits = set(_COCO_18) - {"neck"} <= set(names)
    chosen = order or ("body_25" if fits else "own")
    if chosen not in (*ORDERS, "own"):
        raise ConfigError(f"order={order!r}: expected {', '.join(ORDERS)} or own")
    if chosen != "own" and not fits:
        raise ConfigError(f"order={order!r}: the keypoints don't have the names of COCO's")
    return {
        "version": 1.3,
        "people": [_person(points, names, chosen) for points in people.keypoints],
    }


def _person(points: NDArray[np.float32], names: tuple[str, ...], order: str) -> dict[str, Any]:
    by_name = dict(zip(names, points.tolist(), strict=True))
    if order == "own":
        pose = [number for point in by_name.values() for number in point]
    else:
        for name, (left, right) in _BETWEEN.items():
            (x, y, score), (other_x, other_y, other) = by_name[left], by_name[right]
            middle = [(x + other_x) / 2, (y + other_y) / 2, min(score, other)]
            by_name.setdefault(name, middle)
        pose = _numbers(by_name, ORDERS[order])
    told: dict[str, list[float]] = {
        "pose_keypoints_2d": pose,
        "face_keypoints_2d": [],
        "hand_left_keypoints_2d": [],
        "hand_right_keypoints_2d": [],
    }
    if order != "own" and _FACE[0] in by_name:
        told["face_keypoints_2d"] = [*_numbers(by_name, _FACE), *_NO_PUPILS]
    for side in ("left", "right"):
        if order != "own" and f"{side}_{_HAND[0]}" in by_name:
            hand = [f"{side}_{name}" for name in _HAND]
            told[f"hand_{side}_keypoints_2d"] = _numbers(by_name, hand)
    in_space: dict[str, list[float]] = {name.replace("2d", "3d"): [] for name in told}
    return {"person_id": [-1], **told, **in_space}


def _numbers(by_name: dict[str, list[float]], names: tuple[str, ...] | list[str]) -> list[float]:
    return [number for name in names for number in by_name.get(name, (0.0, 0.0, 0.0))]
