"""Smooth whole tracks of a recording: fill short gaps, then a filter without delay."""

from __future__ import annotations

import itertools
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tritonpose.errors import ConfigError, InputError
from tritonpose.inputs.cameras import Camera
from tritonpose.inputs.videos import Frame
from tritonpose.result import KeypointResult

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from tritonpose.inputs.sources import FrameSource
    from tritonpose.tracking.result import TrackedResult

    Array = NDArray[np.float64]

GAP_S = 0.25
"""For how long somebody may be unseen and is still shown, if seen again after it."""

_WINDOW_S = 0.15
"""To each side, of the frames that a smoothed one is fitted to."""

_LEAST_WEIGHT = 0.05
_AT_ONCE = 1000
"""Frames that are fitted together, which bounds the memory."""


class _Seen(NamedTuple):
    """Somebody in one frame: the frame's place among the results, box, keypoints and score."""

    place: int
    box: Array
    keypoints: Array
    score: float


class WholeTracks:
    """All results of recordings, to be smoothed once they are complete.

    ``reopen`` says for each source how to read its frames again; None keeps its frames meanwhile,
    as those of an iterator come once.
    """

    def __init__(
        self,
        sources: Sequence[FrameSource],
        reopen: Sequence[Callable[[], FrameSource] | None],
    ) -> None:
        self._sources = sources
        self._reopen = reopen
        self._found: list[list[TrackedResult]] = [[] for _ in reopen]

    def add(self, result: TrackedResult) -> None:
        """Take in the next result of a source; ConfigError where that turns out to have no end."""
        source = self._sources[result.source_index]
        if source.live:
            raise ConfigError(
                f"smooth='offline' is for recordings, which end; {source.name!r} is live"
            )
        if self._reopen[result.source_index] is not None and result.error is None:
            result["input_img"] = None
        self._found[result.source_index].append(result)

    def results(self) -> Generator[TrackedResult, None, None]:
        """Smooth the tracks, and yield all results with their frames, source by source."""
        for reopen, found in zip(self._reopen, self._found, strict=True):
            smooth_tracks(found)
            if reopen is None:
                yield from found
                continue
            source = reopen()
            if isinstance(source, Camera):
                source.recording = True
            try:
                with closing(source.frames()) as items:
                    for result in found:
                        yield result if result.error else _with_frame(result, items)
            finally:
                source.close()


def _with_frame(result: TrackedResult, items: Iterator[Frame | InputError]) -> TrackedResult:
    """Give a result its frame, the next one of its number; make it an error where there is none."""
    from tritonpose.tracking.result import TrackedResult

    problem = "it ends earlier than before"
    for item in items:
        if not isinstance(item, Frame):
            problem = str(item)
        elif item.index == result.frame_index:
            result["input_img"] = item.image
            return result
    path = result["input_path"]
    error = InputError(f"{path!r} was read again, to get its frames, and has changed: {problem}")
    lost = KeypointResult(path, error=error, frame_index=result.frame_index)
    made = TrackedResult(lost, None, (), result.timestamp, result.source)
    made.source_index = result.source_index
    return made


def smooth_tracks(results: Sequence[TrackedResult]) -> None:
    """Smooth all results of one source, in their order.

    People who got a number have it from the first frame in which they were seen.
    """
    times = np.array([result.timestamp for result in results])
    numbers = {
        key: number
        for result in results
        for key, number in zip(result.track_keys, result.track_ids, strict=True)
        if key is not None and number is not None
    }
    failed = {place for place, result in enumerate(results) if result.error is not None}
    people: list[list[tuple[int, _Seen]]] = [[] for _ in results]
    for number, seen in _tracks_of(results, numbers).items():
        for run in _runs(seen, times, failed):
            keypoints = np.stack([one.keypoints for one in run])
            smoothed = fit_locally(keypoints, times[[one.place for one in run]])
            for one, pose in zip(run, smoothed, strict=True):
                people[one.place].append((number, one._replace(keypoints=pose)))
    for result, found in zip(results, people, strict=True):
        if result.error is None:
            _show_people(result, found, numbers)


def fit_locally(keypoints: Array, times: Array) -> Array:
    """Fit a parabola to each joint around each frame, weighted by its scores, and take its middle.

    With equal steps of time and equal scores that is the filter of Savitzky and Golay (Analytical
    Chemistry 36, 1964) of order 2. No value leaves the range of the measured ones around it, so
    that nothing overshoots.

    Args:
        keypoints: (N, K, 3), x, y, score, of N frames.
        times: (N,), increasing, in seconds.
    """
    smoothed = keypoints.copy()
    count = len(times)
    first = np.searchsorted(times, times - _WINDOW_S - 1e-9)
    # As many to each side, or the ends of the window would pull.
    reach = np.minimum(
        np.arange(count) - first,
        np.searchsorted(times, times + _WINDOW_S + 1e-9, side="right") - 1 - np.arange(count),
    )
    widest = int(reach.max(initial=0))
    for start in range(0, count, _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, count))
        steps = np.arange(-widest, widest + 1)
        inside = np.abs(steps) <= reach[rows, None]
        window = np.clip(rows[:, None] + steps, 0, count - 1)
        values = keypoints[window, :, :2] - keypoints[rows, None, :, :2]
        weights = np.clip(keypoints[window, :, 2], _LEAST_WEIGHT, 1) ** 2 * inside[..., None]
        ahead = (times[window] - times[rows, None]) / _WINDOW_S
        powers = ahead[..., None] ** np.arange(3)
        squares = np.einsum("nwk,nwi,nwj->nkij", weights, powers, powers) + 1e-9 * np.eye(3)
        sides = np.einsum("nwk,nwi,nwkc->nkic", weights, powers, values)
        fitted = np.linalg.solve(squares, sides)[:, :, 0]
        out = ~inside[..., None, None]
        low = np.where(out, np.inf, values).min(axis=1)
        high = np.where(out, -np.inf, values).max(axis=1)
        smoothed[rows, :, :2] += np.clip(fitted, low, high)
    return smoothed


def _tracks_of(
    results: Sequence[TrackedResult], numbers: Mapping[int, int]
) -> dict[int, list[_Seen]]:
    """Collect where each person with an id was seen, also before it was given."""
    tracks: dict[int, list[_Seen]] = {}
    for place, result in enumerate(results):
        people = result.arrays
        for row, key in enumerate(result.track_keys):
            if key is not None and key in numbers:
                seen = _Seen(
                    place,
                    people.boxes[row].astype(np.float64),
                    people.keypoints[row].astype(np.float64),
                    float(people.det_scores[row]),
                )
                tracks.setdefault(numbers[key], []).append(seen)
    return tracks


def _runs(seen: list[_Seen], times: Array, failed: set[int]) -> list[list[_Seen]]:
    """Cut a track where somebody was unseen for long, and fill the shorter gaps."""
    runs = [[seen[0]]]
    for before, after in itertools.pairwise(seen):
        between = range(before.place + 1, after.place)
        if between and times[after.place] - times[between[0]] > GAP_S + 1e-9:
            runs.append([])
        else:
            for place in between:
                if place not in failed:
                    runs[-1].append(_between(before, after, place, times))
        runs[-1].append(after)
    return runs


def _between(before: _Seen, after: _Seen, place: int, times: Array) -> _Seen:
    start, end = times[before.place], times[after.place]
    share = float((times[place] - start) / max(end - start, 1e-9))

    def mix(one: Any, other: Any) -> Any:
        return (1 - share) * one + share * other

    return _Seen(
        place,
        mix(before.box, after.box),
        mix(before.keypoints, after.keypoints),
        mix(before.score, after.score),
    )


def _show_people(
    result: TrackedResult, found: Sequence[tuple[int, _Seen]], numbers: Mapping[int, int]
) -> None:
    """Show these people, and those of the result who never got an id."""
    old = result.arrays
    strangers = [
        row for row, key in enumerate(result.track_keys) if key is None or key not in numbers
    ]
    boxes = [old.boxes[row] for row in strangers] + [one.box for _, one in found]
    poses = [old.keypoints[row] for row in strangers] + [one.keypoints for _, one in found]
    scores = [float(old.det_scores[row]) for row in strangers] + [one.score for _, one in found]
    given: list[int | None] = [None for _ in strangers] + [number for number, _ in found]
    order = sorted(range(len(scores)), key=lambda row: -scores[row])
    keypoints = np.array([poses[row] for row in order], np.float32)
    keypoints = keypoints.reshape(-1, *old.keypoints.shape[1:])
    people = replace(
        old,
        boxes=np.array([boxes[row] for row in order], np.float32).reshape(-1, 4),
        det_scores=np.array([scores[row] for row in order], np.float32),
        keypoints=keypoints,
        kpt_scores=keypoints[:, :, 2].mean(axis=1),
    )
    result.show(people, [given[row] for row in order])
