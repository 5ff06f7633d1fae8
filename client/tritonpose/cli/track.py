"""Run ``tritonpose track``: follow people in videos and cameras."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tritonpose.cli.console import FAILED, be_quiet, print_error, print_warning
from tritonpose.cli.logs import log_to_stderr
from tritonpose.cli.output import same_file
from tritonpose.cli.parsing import (
    add_server,
    add_shared,
    check_server,
    choices,
    command_parser,
    whole_number,
)
from tritonpose.cli.pipelines import missing_file, open_pipeline, stand_in
from tritonpose.cli.signals import ending_by_signals
from tritonpose.cli.stand_ins import lower_threshold_hint
from tritonpose.cli.track_files import (
    TRACK_FILES,
    TrackFiles,
    files_in_directory,
    track_file_kind,
)
from tritonpose.cli.track_output import DRAWABLE, SourceOutput, TrackOutput
from tritonpose.config import PipelineConfig
from tritonpose.errors import ConfigError

if TYPE_CHECKING:
    from tritonpose.cli.preview import Preview

_DESCRIPTION = """\
Follow people in videos and cameras: each keeps an id from frame to frame, and keypoints are smooth.
Results go to files, or line by line to standard output. Ctrl-C ends it and keeps what is there."""
_EXAMPLES = """\
  tritonpose track clip.mp4 --save_path output
  tritonpose track clip.mp4 --save_path annotated.mp4 --draw ids,trails
  tritonpose track 0 --det_interval auto --preview
  tritonpose track rtsp://camera/1 rtsp://camera/2 --url grpc://server:8001 > poses.jsonl
"""
_SMOOTH: dict[str, bool | Literal["offline"]] = {"on": True, "off": False, "offline": "offline"}


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit status is 1 where a source or a frame failed."""
    parser = _parser()
    options = parser.parse_intermixed_args(arguments)
    if not options.sources:
        parser.error("name a source: a video, a camera or an address of a stream")
    check_server(parser, options)
    from tritonpose.inputs.sources import open_sources

    PipelineConfig.load(options.pipeline)
    # As for other commands; the rest of the product takes only paths.
    options.sources = ["/dev/stdin" if name == "-" else name for name in options.sources]
    sources = open_sources(options.sources)
    if options.smooth == "offline" and (live := [each.name for each in sources if each.live]):
        parser.error(f"--smooth offline is for recordings, which end; {live[0]!r} has no end")
    outputs = _outputs(options, [source.name for source in sources])
    log_to_stderr(verbose=options.verbose)
    if options.quiet:
        be_quiet()
    problems = [None if name.isdecimal() else missing_file(name) for name in options.sources]
    if all(problems):
        for problem in problems:
            print_error(str(problem))
        return FAILED
    return _track(options, outputs)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("track", "SOURCE [SOURCE ...] [options]", _DESCRIPTION, _EXAMPLES)
    parser.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="video, camera (0, /dev/video0), address (rtsp://, http://, ...), or - for standard "
        "input",
    )
    add_shared(parser, "pipeline", "det_threshold", "roi")
    parser.add_argument(
        "--det_interval",
        type=_interval,
        default=1,
        metavar="K",
        help="look for people in every Kth frame and follow them between, or `auto`: when needed "
        "(default: 1)",
    )
    parser.add_argument(
        "--smooth",
        choices=_SMOOTH,
        default="on",
        help="smooth keypoints: on (default), off, or offline: whole tracks of a recording at once",
    )
    parser.add_argument(
        "--save_path",
        metavar="PATH",
        help="directory for the files of each source; or a file of one source, .mp4, .jsonl, .json "
        "(COCO) or .txt (MOT) (default: print JSON)",
    )
    parser.add_argument(
        "--save",
        type=choices(TRACK_FILES),
        metavar="WHAT",
        help=f"what to write to the directory: {', '.join(TRACK_FILES)}, separated by commas "
        "(default: all)",
    )
    parser.add_argument(
        "--draw",
        type=_drawn,
        default=("boxes", "ids", "trails"),
        metavar="WHAT",
        help=f"what is drawn besides the poses: {', '.join(DRAWABLE)}, separated by commas, or "
        "none (default: boxes,ids,trails)",
    )
    parser.add_argument("--preview", action="store_true", help="show it in windows meanwhile")
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one line of JSON per frame, also with --save_path",
    )
    add_shared(parser, "device", "strict_models", "verbose", "quiet")
    add_server(
        parser,
        "use this server, or `local:` for this process",
        "a server that listens at localhost:8001, else this process",
    )
    return parser


def _track(options: argparse.Namespace, outputs: list[SourceOutput]) -> int:
    preview = _open_preview() if options.preview else None
    output = TrackOutput(
        outputs,
        json_lines=options.json or options.save_path is None,
        draw=frozenset(options.draw),
        preview=preview,
        hint=lambda frames: _hint(options, frames),
    )
    with ending_by_signals(), open_pipeline(options) as pipeline:
        results = pipeline.track(
            options.sources,
            det_threshold=options.det_threshold,
            det_interval=options.det_interval,
            smooth=_SMOOTH[options.smooth],
            roi=options.roi,
            on_error="collect",
        )
        with closing(results):
            return output.write_all(results)


def _outputs(options: argparse.Namespace, names: list[str]) -> list[SourceOutput]:
    """Choose where the results of each source go; ConfigError where that can't be."""
    from tritonpose.drawing.trails import Trails
    from tritonpose.saving import TakenNames

    kind = None if options.save_path is None else track_file_kind(options.save_path)
    if options.save is not None and (options.save_path is None or kind is not None):
        raise ConfigError("--save is about the files in a directory: name one by --save_path")
    if kind is not None and len(options.sources) > 1:
        raise ConfigError(
            f"--save_path {options.save_path} is a file, which holds one source: name a directory"
        )
    for source in options.sources:
        if kind is not None and same_file(source, options.save_path):
            raise ConfigError(f"--save_path {options.save_path} is the source itself")
    taken = TakenNames()
    outputs = []
    for name in names:
        files = TrackFiles({})
        if kind is not None:
            files = TrackFiles({kind: Path(options.save_path)}, options.save_path)
        elif options.save_path is not None:
            kinds = options.save or TRACK_FILES
            files = files_in_directory(options.save_path, name, kinds, taken)
        trails = Trails() if "trails" in options.draw else None
        outputs.append(SourceOutput(name, files, trails))
    return outputs


def _open_preview() -> Preview | None:
    from tritonpose.cli.preview import Preview

    try:
        return Preview()
    except RuntimeError as error:
        print_warning(f"no preview: {error}")
        return None


def _hint(options: argparse.Namespace, frames: int) -> str | None:
    detector = stand_in(options)
    return None if detector is None else lower_threshold_hint(frames, frames, detector)


def _interval(text: str) -> int | str:
    """Read ``--det_interval``."""
    return text if text == "auto" else whole_number()(text)


def _drawn(text: str) -> tuple[str, ...]:
    """Read ``--draw``."""
    return () if text == "none" else choices(DRAWABLE)(text)
