"""The open models that stand in on this machine for models of PaddleX that can't be fetched."""

from __future__ import annotations

from collections.abc import Mapping

from tritonpose.config import PipelineConfig


def local_stand_ins() -> Mapping[str, str]:
    """Return the stand-ins by the names of PaddleX's models; none without the server's package."""
    try:
        from tritonpose_server.models.choice import local_stand_ins as of_store
        from tritonpose_server.models.commands import default_store
    except ImportError:
        return {}
    return of_store(default_store())


def stand_in_detector(config: PipelineConfig) -> str | None:
    """Return the open detector that stands in for the one of a configuration, if one does."""
    if config.detector.model_dir is not None:
        return None
    try:
        from tritonpose_server.models.catalog import PADDLEX_DEFAULTS
    except ImportError:
        return None
    return local_stand_ins().get(config.detector.model_name or PADDLEX_DEFAULTS["detector"])


def lower_threshold_hint(without_people: int, images: int, detector: str) -> str:
    """Say what to try where an open detector finds nobody in some images."""
    return (
        f"nobody was found in {without_people} of {images}: {detector}, which stands in for "
        "PaddleX's detector, gives lower scores, so a lower --det_threshold, such as 0.25, may "
        "find people"
    )
