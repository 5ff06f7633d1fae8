"""The 17 COCO keypoints and their skeleton, which PaddleX's keypoint models have."""

from __future__ import annotations

from tritonpose_pipeline.keypoint_schema import default_schema

COCO_KEYPOINT_NAMES: tuple[str, ...] = default_schema(17).names
"""Names of the rows of ``keypoints``; left and right are the person's own."""

COCO_SKELETON: tuple[tuple[int, int], ...] = default_schema(17).skeleton
"""Limbs as pairs of rows of ``keypoints``, in drawing order, as PaddleX draws them."""

VISIBLE_SCORE = 0.1
"""Keypoints scored below this are not drawn, nor are limbs that end in one, as in PaddleX."""
