"""The 17 COCO keypoints and their skeleton.

Source: the "person" category of the COCO keypoint annotations (Lin et al., "Microsoft COCO:
Common Objects in Context", ECCV 2014). The limbs are the 17 that PaddleX draws, in its order.
"""

from __future__ import annotations

COCO_KEYPOINT_NAMES: tuple[str, ...] = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
"""Names of the rows of ``keypoints``; left and right are the person's own."""

COCO_SKELETON: tuple[tuple[int, int], ...] = (
    (0, 1),
    (0, 2),
    (1, 3),
    (2, 4),
    (3, 5),
    (4, 6),
    (5, 7),
    (6, 8),
    (7, 9),
    (8, 10),
    (5, 11),
    (6, 12),
    (11, 13),
    (12, 14),
    (13, 15),
    (14, 16),
    (11, 12),
)
"""Limbs as pairs of rows of ``keypoints``, in drawing order."""

VISIBLE_SCORE = 0.1
"""Keypoints scored below this are not drawn, nor are limbs that end in one, as in PaddleX."""
