"""Metrics and traces of the pipeline."""
