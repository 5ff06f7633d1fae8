"""Finds the files that are served but not imported: model repository and backends."""

from __future__ import annotations

from pathlib import Path


def model_repository() -> Path:
    """Directory of the pipeline models."""
    package = _package()
    share = package / "share" / "model_repository"
    return share if share.is_dir() else package.parents[1] / "model_repository"


def backends() -> Path:
    """Directory of the Python-based backends."""
    return _package() / "backends"


def _package() -> Path:
    return Path(__file__).resolve().parents[1]
