"""Benchmark, evaluation and soak test: tools of the project, not part of the product."""
