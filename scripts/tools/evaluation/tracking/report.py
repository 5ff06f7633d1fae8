"""Report what was measured of tracking, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tools.evaluation.report import plain_table
from tools.evaluation.tracking.intervals import CLOSE
from tools.evaluation.tracking.recording import OURS
from tools.evaluation.tracking.scenes import CROSSING

_NOTHING = "-"


def as_text(report: Mapping[str, Any]) -> str:
    """Format all tables, one below the other."""
    return "\n\n".join(_tables(report))


def _tables(report: Mapping[str, Any]) -> Iterator[str]:
    clips = report["clips"]
    if clips:
        yield _ids(clips)
    lines = [
        [
            each["clip"],
            _jitter(each),
            _cell(each.get("lag"), ".2f"),
            _cell(each.get("overshoot"), ".2f"),
        ]
        for each in clips
        if {"jitter", "lag", "overshoot"} & set(each)
    ]
    if lines:
        head = ["keypoints", "jitter, heights/s2", "lag, frames", "overshoot, px"]
        yield plain_table([head, *lines])
    if report["intervals"]:
        yield _intervals(report["intervals"])
    if report["videos"]:
        yield plain_table(_videos(report["videos"]))


def _ids(clips: Sequence[Mapping[str, Any]]) -> str:
    """Format the ids of all trackers: a line per clip, and the sums."""
    names = list(clips[0]["trackers"])
    scored = "HOTA" in clips[0]["trackers"][OURS]
    figures = ["switches", "shared", *(["HOTA", "IDF1"] if scored else [])]
    lines = [["id", *(name for name in names for _ in figures)], ["", *(figures * len(names))]]
    for clip in clips:
        cells = [_figure(clip["trackers"][name], figure) for name in names for figure in figures]
        lines.append([clip["clip"], *cells])
    for label, some in (
        ("crossings", [clip for clip in clips if clip["kind"] == CROSSING]),
        ("all", clips),
    ):
        if some:
            lines.append([label, *(_total(some, name, one) for name in names for one in figures)])
    return plain_table(lines)


def _figure(tracker: Mapping[str, Any], figure: str) -> str:
    value = tracker[figure]
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def _total(clips: Sequence[Mapping[str, Any]], name: str, figure: str) -> str:
    """Add counts up, and average scores."""
    values = [clip["trackers"][name][figure] for clip in clips]
    return str(sum(values)) if isinstance(values[0], int) else f"{np.mean(values):.3f}"


def _jitter(clip: Mapping[str, Any]) -> str:
    if "jitter" not in clip:
        return _NOTHING
    less = 1 - clip["jitter"] / clip["raw_jitter"]
    return f"{clip['raw_jitter']:.2f} to {clip['jitter']:.2f} (-{less:.0%})"


def _intervals(intervals: Sequence[Mapping[str, Any]]) -> str:
    head = [
        *("det_interval", "frames/s, 1", "auto", "times", "CPU ms, 1", "auto", "times"),
        f"joints within OKS {CLOSE}",
    ]
    lines = [head]
    for each in intervals:
        every, auto = each["every"], each["auto"]
        lines.append(
            [
                each["clip"],
                *(f"{one['frames_per_s']:.1f}" for one in (every, auto)),
                f"{auto['frames_per_s'] / every['frames_per_s']:.2f}",
                *(f"{one['cpu_ms']:.1f}" for one in (every, auto)),
                f"{every['cpu_ms'] / auto['cpu_ms']:.2f}",
                _cell(each["close"], ".2%"),
            ]
        )
    return plain_table(lines)


def _videos(videos: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    lines = [["video", "frames", "ids (first to last frame)", "ids of known people"]]
    for video in videos:
        spans = [f"{one} ({first}..{last})" for one, (first, last) in video["spans"].items()]
        people = [f"{name}: {' '.join(map(str, ids))}" for name, ids in video["people"].items()]
        lines.append(
            [video["video"], str(video["frames"]), ", ".join(spans), ", ".join(people) or _NOTHING]
        )
    return lines


def _cell(value: float | None, form: str) -> str:
    return _NOTHING if value is None else format(value, form)
