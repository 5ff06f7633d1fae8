"""Keeps Triton and the REST service alive, and cleans up after them."""
