"""Finds the files that are served but not imported: model repository and backends."""

from __future__ import annotations

from pathlib import Path


def model_repository() -> Path:
    """Directory of the pipeline models."""
    return _find("model_repository", "model_repository")


def backends() -> Path:
    """Directory of the Python-based backends."""
    return _find("backends", "server/backends")


def _find(installed: str, in_checkout: str) -> Path:
    """Look beside this package where it is installed, else in the source checkout."""
    package = Path(__file__).resolve().parent
    share = package / "share" / installed
    return share if share.is_dir() else package.parents[1] / in_checkout
