"""Measures the speed of what is served against PaddleX and against the bare engine."""
