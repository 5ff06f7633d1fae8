"""Check what is asked of ``pipeline.track``, and prepare it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tritonpose._requests import Wishes
from tritonpose.errors import ConfigError
from tritonpose.given_boxes import checked_roi
from tritonpose.tracking.feed import Feed
from tritonpose.tracking.plan import DetectionPlan, check_interval
from tritonpose.tracking.schedule import Schedule, SourceRun
from tritonpose.tracking.settings import TrackingSettings
from tritonpose.tracking.sources import VideoFile
from tritonpose.tracking.tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from tritonpose.inputs.images import ImageInput
    from tritonpose.tracking.schedule import Answer
    from tritonpose_pipeline.thresholds import Threshold

    Submit = Callable[[ImageInput, Wishes, NDArray[np.float32] | None], Answer]

_LAG = 2
"""How many frames of a recording are on their way at once where people are followed."""


def plan_tracking(
    source: object,
    threshold: Threshold | None,
    det_interval: object,
    smooth: object,
    roi: object,
    tracker: object,
    max_in_flight: int,
    submit: Submit,
) -> Schedule:
    """Check the arguments of ``track`` and prepare the schedule of all sources.

    Raises ConfigError.
    """
    interval = check_interval(det_interval)
    if not isinstance(smooth, bool):
        raise ConfigError(f"smooth={smooth!r}: expected True, False or 'offline'")
    wishes_roi = checked_roi(roi)
    sources: list[Any] = list(source) if isinstance(source, list | tuple) else [source]
    if tracker is not None and not isinstance(tracker, Tracker):
        raise ConfigError(f"tracker of type {type(tracker).__name__}: expected a Tracker")
    if tracker is not None and len(sources) != 1:
        raise ConfigError(f"tracker: it is of one source, but {len(sources)} were given")
    settings = _settings(threshold, smooth=smooth)
    runs = [
        SourceRun(
            Feed(VideoFile(os.fspath(item))),
            Tracker(settings) if tracker is None else tracker,
            DetectionPlan(interval, _LAG),
            2 * max_in_flight,
        )
        for item in sources
    ]
    least = settings.weak_threshold if tracker is None else tracker.settings.weak_threshold
    wishes = Wishes(threshold if isinstance(threshold, Mapping) else least, roi=wishes_roi)
    return Schedule(runs, lambda image, boxes: submit(image, wishes, boxes), max_in_flight)


def _settings(threshold: Threshold | None, *, smooth: bool) -> TrackingSettings:
    """Fit the settings to the threshold of what is shown."""
    usual = TrackingSettings(smooth=smooth)
    if threshold is None:
        return usual
    if isinstance(threshold, Mapping):
        # The detector leaves out whom the caller doesn't want.
        return replace(usual, det_threshold=0.0, weak_threshold=0.0)
    above = usual.new_threshold - usual.det_threshold
    return replace(
        usual,
        det_threshold=threshold,
        weak_threshold=min(usual.weak_threshold, threshold),
        new_threshold=min(threshold + above, 1.0),
    )
