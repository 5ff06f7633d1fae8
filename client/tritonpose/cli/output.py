"""Print and save the results of ``tritonpose predict``."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tritonpose.cli.console import FAILED, print_error, print_status, print_warning
from tritonpose.cli.progress import ProgressBar
from tritonpose.cli.stand_ins import lower_threshold_hint
from tritonpose.errors import ConfigError, TritonPoseError

if TYPE_CHECKING:
    from tritonpose.result import KeypointResult

DRAWABLE = ("boxes", "scores", "ids")
"""What pictures can show besides the poses: flags of ``KeypointResult.save_to_img``."""


@dataclass(frozen=True)
class Output:
    """Where results go; without ``json_lines`` they are printed in PaddleX's notation.

    ``save_path`` is a directory for both of a result's files; or a file, whose suffix chooses the
    JSON or the picture; None to save nothing. Pictures show ``draw``, of ``DRAWABLE``. Another
    suffix is a ConfigError.
    """

    json_lines: bool = False
    save_path: str | None = None
    draw: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        _ = self.kind

    @property
    def kind(self) -> Literal["json", "picture", "directory"] | None:
        """What ``save_path`` names; ConfigError for a file of another kind."""
        from tritonpose.saving import saved_kind

        return None if self.save_path is None else saved_kind(self.save_path)

    def check(self, inputs: Iterable[str]) -> None:
        """Raise ConfigError where an input would be overwritten."""
        from tritonpose.inputs.addresses import local_path

        for name in inputs:
            if self.kind in ("json", "picture") and same_file(
                local_path(name), str(self.save_path)
            ):
                raise ConfigError(f"--save_path {self.save_path} is the input itself")

    def write(self, result: KeypointResult) -> None:
        """Print a result to standard output, and save it if there is a ``save_path``.

        TritonPoseError: the result is an error, or can't be saved.
        """
        if result.error is not None:
            raise result.error
        if self.json_lines:
            print(json.dumps(result.json["res"]))
        else:
            result.print()
        # The reader of a pipe gets each result at once.
        sys.stdout.flush()
        self._save(result)

    def _save(self, result: KeypointResult) -> None:
        """Save a result; raises TritonPoseError where that fails."""
        if self.save_path is None:
            return
        # Of a directory, which is listed late.
        self.check([result["input_path"] or ""])
        try:
            kind = self.kind
            if kind != "picture":
                result.save_to_json(self.save_path)
            if kind != "json":
                result.save_to_img(self.save_path, **{what: what in self.draw for what in DRAWABLE})
        except OSError as error:
            reason = error.strerror or error
            raise TritonPoseError(f"can't save to {self.save_path!r}: {reason}") from error
        except ValueError as error:
            # Pillow's, about suffixes that it does not know.
            raise TritonPoseError(f"can't save to {self.save_path!r}: {error}") from error


def write_results(
    results: Iterable[KeypointResult],
    output: Output,
    inputs: Sequence[str],
    *,
    stand_in: Callable[[], str | None] = lambda: None,
) -> int:
    """Write results as they come, and errors to standard error; return 1 where an input failed.

    The inputs tell how many results to expect. Several results for one file are a ConfigError,
    after the first is saved; a reader of standard output that went away is a BrokenPipeError.
    ``stand_in`` names the open detector that stands in for PaddleX's: where it finds nobody, a
    line says that a lower threshold may help.
    """
    images = people = failed = without_people = 0
    began = time.monotonic()
    total, passed_over = count_images(inputs)
    with ProgressBar(hidden=total == 1) as bar:
        bar.show(0, total)
        for done, result in enumerate(results, 1):
            with bar.cleared():
                if images == 1 and output.kind in ("json", "picture"):
                    raise ConfigError(
                        f"--save_path {output.save_path} is a file, which holds one result: name a "
                        "directory"
                    )
                try:
                    output.write(result)
                except TritonPoseError as error:
                    failed += 1
                    print_error(str(error))
                else:
                    images += 1
                    people += len(result["boxes"])
                    without_people += not result["boxes"]
                    if result.truncated:
                        print_warning(truncation(result))
            bar.show(done, total)
    seconds = time.monotonic() - began
    print_status(
        f"{people} {'person' if people == 1 else 'people'} in "
        f"{images} {'image' if images == 1 else 'images'}, {seconds:.2f} s"
        + (f"; {failed} failed" if failed else "")
        + (f"; passed over: {passed_over}" if passed_over else "")
        + (f"; saved to {output.save_path}" if output.save_path is not None and images else "")
    )
    if without_people and (name := stand_in()) is not None:
        print_status(lower_threshold_hint(without_people, images, name))
    return FAILED if failed else 0


def truncation(result: KeypointResult) -> str:
    """Say that there are more people than the result has."""
    return (
        f"{result['input_path']!r}: more people were found than the server returns for "
        f"one image; these are the {len(result['boxes'])} with the best scores"
    )


def same_file(path: str, other: str) -> bool:
    """Check whether two paths are of one file that exists."""
    try:
        return Path(path).samefile(other)
    except (OSError, ValueError):
        return False


def count_images(inputs: Sequence[str]) -> tuple[int | None, str]:
    """Count the images by name, and what is passed over in directories, as a phrase.

    The images are None where there is a video or a pipe, whose end shows its length.
    """
    from tritonpose.file_types import has_video_name, is_url
    from tritonpose.inputs.addresses import local_path
    from tritonpose.inputs.folders import OTHER, describe, search_folder

    files: list[str] = []
    passed_over: Counter[str] = Counter()
    for item in inputs:
        path = local_path(item)
        if not is_url(path) and os.path.isdir(path):  # noqa: PTH112 (Path's raises)
            folder = search_folder(path)
            files += folder.files
            passed_over += folder.passed_over
        else:
            files.append(path)
    # Most folders hold other files as well, which nobody expects to be read.
    del passed_over[OTHER]
    endless = any(
        path.startswith("/dev/") or (has_video_name(path) and not is_url(path)) for path in files
    )
    return (None if endless else len(files)), describe(passed_over)
