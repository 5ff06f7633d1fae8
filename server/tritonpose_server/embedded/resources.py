"""Finds the files that Triton loads: model repository and backends."""

from __future__ import annotations

from pathlib import Path


def model_repository() -> Path:
    """Return the directory of the models that Triton serves."""
    package = _package()
    share = package / "share" / "model_repository"
    return share if share.is_dir() else package.parents[1] / "model_repository"


def backends() -> Path:
    """Return the directory of the Python-based backends."""
    return _package() / "backends"


def _package() -> Path:
    return Path(__file__).resolve().parents[1]
