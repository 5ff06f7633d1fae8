"""Drawing people on images."""

VISIBLE_SCORE = 0.1
"""Keypoints scored below this are not drawn, nor are limbs that end in one, as in PaddleX."""
