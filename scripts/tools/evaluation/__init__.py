"""Measures the quality of what a running server gives: COCO scores, agreement with PaddleX."""
