"""Launches a real tritonserver from a Python wheel: no Docker, no GPU, no installation."""
