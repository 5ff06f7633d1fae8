"""Check what is asked of ``pipeline.track``, and prepare it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpose._requests import PredictOptions
from tritonpose.errors import ConfigError
from tritonpose.file_types import is_url
from tritonpose.given_boxes import checked_roi
from tritonpose.inputs.addresses import local_path
from tritonpose.inputs.sources import open_source, open_sources
from tritonpose.tracking.feed import Feed
from tritonpose.tracking.offline import WholeTracks
from tritonpose.tracking.plan import DetectionPlan, check_interval
from tritonpose.tracking.schedule import Schedule, SourceRun
from tritonpose.tracking.settings import TrackingSettings
from tritonpose.tracking.tracker import Tracker

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Sequence

    from tritonpose.inputs.sources import FrameSource
    from tritonpose_pipeline.thresholds import Threshold


def plan_tracking(
    source: object,
    chosen: Threshold | None,
    usual: Threshold | None,
    det_interval: object,
    smooth: object,
    roi: object,
    tracker: object,
    max_in_flight: int,
    loop: AbstractEventLoop | None = None,
) -> Schedule:
    """Check the arguments of ``track`` and prepare the schedule of all sources.

    ``usual`` is the threshold where the caller has ``chosen`` none. ``loop`` runs asynchronous
    iterators. Raises ConfigError.
    """
    threshold = usual if chosen is None else chosen
    interval = check_interval(det_interval)
    if not (isinstance(smooth, bool) or (isinstance(smooth, str) and smooth == "offline")):
        raise ConfigError(f"smooth={smooth!r}: expected True, False or 'offline'")
    region = checked_roi(roi)
    settings = _settings(threshold, smooth=smooth is True)
    sources = open_sources(source, loop)
    if tracker is None:
        trackers = [Tracker(settings) for _ in sources]
    elif not isinstance(tracker, Tracker):
        raise ConfigError(f"tracker of type {type(tracker).__name__}: expected a Tracker")
    elif len(sources) != 1:
        raise ConfigError(f"tracker: it is of one source, but {len(sources)} were given")
    elif smooth is not True and tracker.settings.smooth:
        raise ConfigError(f"tracker: with smooth={smooth!r} its settings need smooth=False")
    elif isinstance(chosen, int | float) and chosen != tracker.settings.det_threshold:
        raise ConfigError(
            f"det_threshold={chosen}: the settings of the tracker have "
            f"{tracker.settings.det_threshold}; leave it out, or make the tracker with "
            f"TrackingSettings().with_threshold({chosen})"
        )
    else:
        trackers, settings = [tracker], tracker.settings
    least = threshold if isinstance(threshold, Mapping) else settings.weak_threshold
    options = PredictOptions(least, roi=region)
    runs = [
        SourceRun(Feed(each), its_tracker, DetectionPlan(interval), 2 * max_in_flight)
        for each, its_tracker in zip(sources, trackers, strict=True)
    ]
    return Schedule(
        runs,
        options,
        max_in_flight,
        _whole_tracks(source, sources) if smooth == "offline" else None,
    )


def _whole_tracks(source: object, sources: Sequence[FrameSource]) -> WholeTracks:
    """Prepare to smooth recordings; raise ConfigError for a camera."""
    given = source if isinstance(source, list | tuple) else [source]
    reopen: list[Callable[[], FrameSource] | None] = [None for _ in sources]
    for index, (item, opened) in enumerate(zip(given, sources, strict=False)):
        if opened.live:
            raise ConfigError(
                f"smooth='offline' is for recordings, which end; {opened.name!r} is a camera"
            )
        # A pipe can be read but once.
        if len(given) == len(sources) and isinstance(item, str | os.PathLike) and _lasts(item):
            reopen[index] = partial(open_source, item)
    return WholeTracks(sources, reopen)


def _lasts(place: str | os.PathLike[str]) -> bool:
    """Check whether a file or an address can be read again."""
    path = local_path(os.fsdecode(place))
    return is_url(path) or Path(path).is_file()


def _settings(threshold: Threshold | None, *, smooth: bool) -> TrackingSettings:
    """Fit the settings to the threshold of what is shown."""
    usual = TrackingSettings(smooth=smooth)
    if threshold is None:
        return usual
    if isinstance(threshold, Mapping):
        # The detector leaves out whom the caller doesn't want.
        return replace(usual, det_threshold=0.0, weak_threshold=0.0)
    return usual.with_threshold(threshold)
