"""Print, draw and save the results of ``tritonpose track``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING

from tritonpose.cli.console import FAILED, print_error, print_status, print_warning
from tritonpose.cli.output import truncation
from tritonpose.cli.progress import ProgressBar
from tritonpose.cli.signals import without_interrupts

if TYPE_CHECKING:
    from tritonpose.cli.preview import Preview
    from tritonpose.cli.track_files import TrackFiles
    from tritonpose.drawing.trails import Trails
    from tritonpose.tracking import TrackedResult

DRAWABLE = ("boxes", "scores", "ids", "trails")
"""What videos can show besides the poses."""


@dataclass
class SourceOutput:
    """Where the results of one source go, and what is known of it so far.

    ``dropped`` counts frames that were passed over for newer ones.
    """

    name: str
    files: TrackFiles
    trails: Trails | None
    frames: int = 0
    failed: int = 0
    dropped: int = 0
    ids: set[int] = field(default_factory=set)
    last: int = -1
    last_at: float = 0.0
    error: str = ""
    truncated: bool = False

    def count(self, result: TrackedResult) -> None:
        """Count a frame."""
        index = self.last + 1 if result.frame_index is None else result.frame_index
        self.dropped += max(0, index - self.last - 1)
        self.last = max(index, self.last)
        self.last_at = time.monotonic()
        if result.error is not None:
            self.failed += 1
        else:
            self.frames += 1
            self.ids.update(number for number in result.track_ids if number is not None)

    def summary(self, began: float) -> str:
        """Tell in a line what was found since the run began."""
        seconds = max(self.last_at - began, 1e-3)
        people, frames = len(self.ids), self.frames
        return (
            f"{self.name}: {people} {'person' if people == 1 else 'people'} in "
            f"{frames} {'frame' if frames == 1 else 'frames'}, {frames / seconds:.1f} frames/s"
            + (f"; {self.dropped} dropped" if self.dropped else "")
            + (f"; {self.failed} failed" if self.failed else "")
            + (f"; saved to {self.files.place}" if self.files.saved else "")
        )


class TrackOutput:
    """Write results as they come: to standard output, to the files of each source, to the screen.

    ``draw`` holds words of `DRAWABLE`. ``hint`` says what to try where nobody was found in this
    many frames.
    """

    def __init__(
        self,
        sources: list[SourceOutput],
        *,
        json_lines: bool,
        draw: frozenset[str],
        preview: Preview | None,
        hint: Callable[[int], str | None] = lambda _: None,
    ) -> None:
        self._sources = sources
        self._json_lines = json_lines
        self._what = {what: what in draw for what in ("boxes", "scores", "ids")}
        self._preview = preview
        self._hint = hint

    def write_all(self, results: Iterable[TrackedResult]) -> int:
        """Write all results, and errors to standard error; return 1 where one failed.

        The files are finished at the end, also that by an interrupt or an error.
        """
        began = time.monotonic()
        try:
            with ProgressBar(unit="frame") as bar:
                bar.show(0)
                for done, result in enumerate(results, 1):
                    source = self._sources[result.source_index]
                    with bar.cleared():
                        self._write(result, source)
                    bar.show(done, people=len(result["boxes"]))
        finally:
            # A second Ctrl-C must not cost what the first one left.
            with without_interrupts(), ExitStack() as last:
                last.callback(self._tell, began)
                for source in self._sources:
                    last.callback(source.files.close)
        return FAILED if any(source.failed for source in self._sources) else 0

    def _write(self, result: TrackedResult, source: SourceOutput) -> None:
        source.count(result)
        if result.error is not None:
            # Frame by frame a server that is away would say the same.
            if str(result.error) != source.error:
                source.error = str(result.error)
                print_error(source.error)
            return
        source.error = ""
        if result.truncated and not source.truncated:
            source.truncated = True
            print_warning(truncation(result))
        # Once, and only where it is looked at: cameras' frames are decoded for it.
        draw = cache(partial(result.draw, **self._what, trails=source.trails))
        source.files.write(result, draw)
        if self._json_lines:
            print(json.dumps(result.json["res"]))
            sys.stdout.flush()
        if self._preview is not None:
            self._preview.show(result.source_index, source.name, draw())

    def _tell(self, began: float) -> None:
        for source in self._sources:
            print_status(source.summary(began))
        frames = sum(source.frames for source in self._sources)
        if frames and not any(source.ids for source in self._sources):
            hint = self._hint(frames)
            if hint is not None:
                print_status(hint)
