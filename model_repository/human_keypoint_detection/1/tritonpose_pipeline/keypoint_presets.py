"""The keypoints of public data sets: names, limbs, mirrored pairs and OKS sigmas.

Sources: COCO keypoints (Lin et al., ECCV 2014) and its evaluation's sigmas; Halpe (Li et al.,
CVPR 2020); MPII Human Pose (Andriluka et al., CVPR 2014); COCO-WholeBody (Jin et al., ECCV 2020),
whose sigmas of hands are also those of `hand21`. Those of Halpe and MPII are what MMPose uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

Pair = tuple[int, int]

_COCO_NAMES = (
    "nose",
    *(f"{side}_{part}" for part in ("eye", "ear") for side in ("left", "right")),
    *(
        f"{side}_{part}"
        for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in ("left", "right")
    ),
)
# The limbs that PaddleX draws, in its order.
_COCO_LIMBS: tuple[Pair, ...] = (
    *((0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7), (6, 8), (7, 9), (8, 10)),
    *((5, 11), (6, 12), (11, 13), (12, 14), (13, 15), (14, 16), (11, 12)),
)
_COCO_PAIRS: tuple[Pair, ...] = tuple((left, left + 1) for left in range(1, 17, 2))
_COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)

_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
_FINGER_NAMES = tuple(f"{finger}{joint}" for finger in _FINGERS for joint in range(1, 5))
_HAND_SIGMAS = (
    *(0.029, 0.022, 0.035, 0.037, 0.047, 0.026, 0.025, 0.024, 0.035, 0.018, 0.024),
    *(0.022, 0.026, 0.017, 0.021, 0.021, 0.032, 0.020, 0.019, 0.022, 0.031),
)

_FACE_SIGMAS = (
    *(0.042, 0.043, 0.044, 0.043, 0.040, 0.035, 0.031, 0.025, 0.020, 0.023, 0.029, 0.032),
    *(0.037, 0.038, 0.043, 0.041, 0.045, 0.013, 0.012, 0.011, 0.011, 0.012, 0.012, 0.011),
    *(0.011, 0.013, 0.015, 0.009, 0.007, 0.007, 0.007, 0.012, 0.009, 0.008, 0.016, 0.010),
    *(0.017, 0.011, 0.009, 0.011, 0.009, 0.007, 0.013, 0.008, 0.011, 0.012, 0.010, 0.034),
    *(0.008, 0.008, 0.009, 0.008, 0.008, 0.007, 0.010, 0.008, 0.009, 0.009, 0.009, 0.007),
    *(0.007, 0.008, 0.011, 0.008, 0.008, 0.008, 0.010, 0.008),
)
# Of the 68 points of a face: outline, brows, eyes, nostrils and lips.
_FACE_PAIRS: tuple[Pair, ...] = (
    *((index, 16 - index) for index in range(8)),
    *((17 + index, 26 - index) for index in range(5)),
    *((31, 35), (32, 34)),
    *((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),
    *((48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67)),
)
_FACE, _LEFT_HAND, _RIGHT_HAND = 23, 91, 112


def _shifted(pairs: Iterable[Pair], offset: int) -> Iterator[Pair]:
    return ((first + offset, second + offset) for first, second in pairs)


# Each finger from the wrist to its tip.
_HAND_LIMBS: tuple[Pair, ...] = tuple(
    (0 if joint == 0 else 4 * finger + joint, 4 * finger + joint + 1)
    for finger in range(5)
    for joint in range(4)
)

_HALPE26 = {
    "names": (
        *_COCO_NAMES,
        *("head", "neck", "hip", "left_big_toe", "right_big_toe"),
        *("left_small_toe", "right_small_toe", "left_heel", "right_heel"),
    ),
    "skeleton": (
        *((0, 1), (0, 2), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (17, 18), (18, 19)),
        *((18, 5), (18, 6), (5, 7), (6, 8), (7, 9), (8, 10), (19, 11), (19, 12)),
        *((11, 13), (12, 14), (13, 15), (14, 16)),
        *((15, 20), (15, 22), (15, 24), (16, 21), (16, 23), (16, 25)),
    ),
    "flip_pairs": (*_COCO_PAIRS, (20, 21), (22, 23), (24, 25)),
    "sigmas": (*_COCO_SIGMAS, 0.026, 0.026, 0.066, *(0.079,) * 6),
}

_MPII16 = {
    "names": (
        *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
        *("pelvis", "thorax", "upper_neck", "head_top"),
        *("right_wrist", "right_elbow", "right_shoulder"),
        *("left_shoulder", "left_elbow", "left_wrist"),
    ),
    "skeleton": (
        *((0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9)),
        *((8, 12), (12, 11), (11, 10), (8, 13), (13, 14), (14, 15)),
    ),
    "flip_pairs": ((0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)),
    "sigmas": (
        *(0.089, 0.083, 0.107, 0.107, 0.083, 0.089, 0.026, 0.026, 0.026, 0.026),
        *(0.062, 0.072, 0.179, 0.179, 0.072, 0.062),
    ),
}

_COCO133 = {
    "names": (
        *_COCO_NAMES,
        *(
            f"{side}_{part}"
            for side in ("left", "right")
            for part in ("big_toe", "small_toe", "heel")
        ),
        *(f"face-{index}" for index in range(68)),
        *(f"{side}_{part}" for side in ("left", "right") for part in ("hand_root", *_FINGER_NAMES)),
    ),
    "skeleton": (
        *_COCO_LIMBS,
        *((15, 17), (15, 18), (15, 19), (16, 20), (16, 21), (16, 22)),
        *_shifted(_HAND_LIMBS, _LEFT_HAND),
        *_shifted(_HAND_LIMBS, _RIGHT_HAND),
    ),
    "flip_pairs": (
        *_COCO_PAIRS,
        *((17, 20), (18, 21), (19, 22)),
        *_shifted(_FACE_PAIRS, _FACE),
        *((_LEFT_HAND + index, _RIGHT_HAND + index) for index in range(21)),
    ),
    "sigmas": (
        *_COCO_SIGMAS,
        *(0.068, 0.066, 0.066, 0.092, 0.094, 0.094),
        *_FACE_SIGMAS,
        *_HAND_SIGMAS,
        *_HAND_SIGMAS,
    ),
}

PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "coco17": {
            "names": _COCO_NAMES,
            "skeleton": _COCO_LIMBS,
            "flip_pairs": _COCO_PAIRS,
            "sigmas": _COCO_SIGMAS,
        },
        "halpe26": _HALPE26,
        "mpii16": _MPII16,
        "hand21": {
            "names": ("wrist", *_FINGER_NAMES),
            "skeleton": _HAND_LIMBS,
            # A mirrored left hand is a right hand: no point changes places.
            "flip_pairs": (),
            "sigmas": _HAND_SIGMAS,
        },
        "coco133": _COCO133,
    }
)
"""Arguments of `KeypointSchema` by the names that a `preset` may have."""
