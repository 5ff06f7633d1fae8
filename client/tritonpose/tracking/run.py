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


def plan_tracking(
    source: object,
    threshold: Threshold | None,
    roi: object,
    tracker: Tracker | None,
    max_in_flight: int,
    submit: Submit,
) -> Schedule:
    """Prepare the schedule of all sources; raise ConfigError."""
    sources: list[Any] = list(source) if isinstance(source, list | tuple) else [source]
    if tracker is not None and len(sources) != 1:
        raise ConfigError(f"tracker: it is of one source, but {len(sources)} were given")
    settings = TrackingSettings()
    if threshold is not None and not isinstance(threshold, Mapping):
        settings = replace(settings, det_threshold=threshold, new_threshold=threshold + 0.1)
    weak: Threshold = settings.weak_threshold
    if isinstance(threshold, Mapping):
        weak = threshold
    runs = [
        SourceRun(
            Feed(VideoFile(os.fspath(item))),
            Tracker(settings) if tracker is None else tracker,
            2 * max_in_flight,
        )
        for item in sources
    ]
    wishes = Wishes(weak, roi=checked_roi(roi))
    return Schedule(runs, lambda image, boxes: submit(image, wishes, boxes), max_in_flight)
