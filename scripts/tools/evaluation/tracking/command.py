"""The command ``scripts/evaluate tracking``."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import tritonpose
from tools.benchmark.workload import find_images
from tools.command import run_command, write_json
from tools.evaluation.tracking.cutouts import Find, cut_people
from tools.evaluation.tracking.intervals import compare_intervals
from tools.evaluation.tracking.measure import measure_ids, measure_motion
from tools.evaluation.tracking.metrics import Seen
from tools.evaluation.tracking.recording import (
    OURS,
    record,
    scores_by_trackeval,
    track,
    track_by_rivals,
)
from tools.evaluation.tracking.report import as_text
from tools.evaluation.tracking.rivals import start_rivals
from tools.evaluation.tracking.scenes import Cast, all_clips, few_clips, make_cast, timed_clips
from tools.evaluation.tracking.videos import follow_video
from tools.sample_photo import sample_photo
from tritonpose import HumanKeypointPipeline, create_pipeline
from tritonpose.cli.console import print_status
from tritonpose.config import PIPELINE_NAME
from tritonpose.transport.messages import PoseResponse

_MOST_PHOTOS = 50


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = _parse(arguments)
    return run_command(lambda: _run(options))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/evaluate tracking",
        description="Measure tracking on clips with exact truth, which are made of photos: ids "
        "(HOTA, IDF1, switches), beside other trackers that get the same detections; jitter, lag "
        "and overshoot of keypoints; and what det_interval='auto' costs and saves.",
    )
    add = parser.add_argument
    add(
        "--images",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="photos, or directories of them, with people who stand alone and are seen from top "
        "to toe; default: the sample photo",
    )
    add(
        "--videos",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="videos to list the ids of, too; with truth/NAME.json beside NAME.mp4, those of the "
        "people in it",
    )
    add("--clips", nargs="+", metavar="TEXT", help="only clips with one of these in their names")
    add(
        "--pipeline",
        default=PIPELINE_NAME,
        metavar="NAME_OR_YAML",
        help="pipeline to run: its name, or a PaddleX pipeline YAML (default: %(default)s)",
    )
    add("--url", default="local:", help="where it runs (default: %(default)s, this process)")
    add("--no_rivals", action="store_true", help="without other trackers, HOTA and IDF1")
    add("--quick", action="store_true", help="only a few short clips, to see that everything works")
    add("--json", type=Path, metavar="FILE", help="write all figures to a file")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> int:
    photos = (
        [sample_photo(print_status)]
        if options.images is None
        else find_images(options.images, _MOST_PHOTOS)
    )
    with ExitStack() as stack:
        rivals = None
        if not options.no_rivals:
            rivals = stack.enter_context(closing(start_rivals(print_status)))
        pipeline = stack.enter_context(create_pipeline(options.pipeline, url=options.url))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        print_status(f"cutting people out of {len(photos)} photo{'s' * (len(photos) > 1)}")
        find = _finder(pipeline)
        cast = make_cast(*cut_people(photos, find), find)
        report = {
            "tritonpose": tritonpose.__version__,
            "rivals": None if rivals is None else rivals.call("facts"),
            "clips": list(_measure_clips(options, cast, pipeline, rivals, directory)),
            "intervals": list(_measure_intervals(options, cast, pipeline, directory)),
            "videos": [follow_video(pipeline, path) for path in options.videos],
        }
    print(as_text(report))
    write_json(options.json, report)
    return 0


def _finder(pipeline: HumanKeypointPipeline) -> Find:
    def find(image: npt.NDArray[np.uint8], threshold: float) -> PoseResponse:
        (result,) = pipeline.predict(image, det_threshold=threshold)
        return result.arrays

    return find


def _measure_clips(
    options: argparse.Namespace,
    cast: Cast,
    pipeline: HumanKeypointPipeline,
    rivals: Any,
    directory: Path,
) -> Iterator[dict[str, Any]]:
    """Measure all trackers on each clip."""
    clips = few_clips(cast) if options.quick else all_clips(cast)
    for clip in clips:
        if options.clips and not any(text in clip.name for text in options.clips):
            continue
        print_status(f"clip {clip.name}")
        recording = record(pipeline, clip, directory)
        raw, smooth = (track(recording, smooth=each) for each in (False, True))
        answers: dict[str, list[Seen]] = {OURS: smooth}
        scores: dict[str, dict[str, Any]] = {}
        if rivals is not None:
            answers |= track_by_rivals(rivals, recording)
            scores = scores_by_trackeval(rivals, recording.true_people, answers)
        yield {
            "clip": clip.name,
            "kind": clip.kind,
            "trackers": {
                name: measure_ids(recording.true_people, shown) | scores.get(name, {})
                for name, shown in answers.items()
            },
            **measure_motion(recording, raw, smooth),
        }
        recording.frames.unlink()


def _measure_intervals(
    options: argparse.Namespace, cast: Cast, pipeline: HumanKeypointPipeline, directory: Path
) -> Iterator[dict[str, Any]]:
    """Compare intervals of the detector on the clips that show three people."""
    for clip in timed_clips(cast, quick=options.quick):
        if options.clips and not any(text in clip.name for text in options.clips):
            continue
        print_status(f"intervals of the detector in clip {clip.name}")
        yield {"clip": clip.name, **compare_intervals(pipeline, clip, directory)}
