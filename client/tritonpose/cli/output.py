"""What ``tritonpose predict`` makes of results: lines of output, and files."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from tritonpose.cli.console import print_error, print_status
from tritonpose.cli.exit_status import FAILED
from tritonpose.cli.progress import with_progress
from tritonpose.errors import ConfigError, TritonPoseError

if TYPE_CHECKING:
    from tritonpose.result import KeypointResult

DRAWABLE = ("boxes", "scores", "ids")
"""What pictures can show besides the poses: flags of ``KeypointResult.save_to_img``."""


@dataclass(frozen=True)
class Output:
    """Where results go.

    Attributes:
        json_lines: Print one JSON object per line instead of PaddleX's notation.
        save_path: Directory for both of a result's files; or a file, of which the suffix says
            whether it is to hold the JSON or the picture; None to save nothing.
        draw: Which of ``DRAWABLE`` the pictures show.
    """

    json_lines: bool = False
    save_path: str | None = None
    draw: frozenset[str] = field(default_factory=frozenset)

    @property
    def is_file(self) -> bool:
        """Whether ``save_path`` names a file."""
        return self._is_json or self._is_picture

    def write(self, result: KeypointResult) -> None:
        """Print a result to standard output, and save it where that is asked for.

        Raises:
            TritonPoseError: The result is an error, or can't be saved.
        """
        if result.error is not None:
            raise result.error
        if self.json_lines:
            print(json.dumps(result.json["res"]))
        else:
            result.print()
        # Whoever reads a pipe gets each result when it is there.
        sys.stdout.flush()
        self._save(result)

    def _save(self, result: KeypointResult) -> None:
        """Save a result where that is asked for.

        Raises:
            TritonPoseError: It can't be written, or the image can't be decoded here.
        """
        if self.save_path is None:
            return
        try:
            if not self._is_picture:
                result.save_to_json(self.save_path)
            if not self._is_json:
                result.save_to_img(self.save_path, **{what: what in self.draw for what in DRAWABLE})
        except OSError as error:
            reason = error.strerror or error
            raise TritonPoseError(f"can't save to {self.save_path!r}: {reason}") from error
        except ValueError as error:
            # Pillow's, of suffixes that it does not know.
            raise TritonPoseError(f"can't save to {self.save_path!r}: {error}") from error

    @property
    def _is_json(self) -> bool:
        return self.save_path is not None and Path(self.save_path).suffix.lower() == ".json"

    @property
    def _is_picture(self) -> bool:
        from tritonpose.saving import image_path

        return self.save_path is not None and image_path(self.save_path, PurePath("x.jpg")) == Path(
            self.save_path
        )


def write_results(results: Iterable[KeypointResult], output: Output, inputs: Sequence[str]) -> int:
    """Write results as they come, and errors to standard error.

    Args:
        results: Results; those of inputs that failed bear an ``error``.
        output: Where they go.
        inputs: What they are the results of.

    Returns:
        Exit status: 1 where an input failed, else 0.

    Raises:
        ConfigError: There are several results to be saved to one file; the first one was.
        BrokenPipeError: Nobody reads standard output any more.
    """
    images = persons = failed = 0
    began = time.monotonic()
    for result, clear_of_the_bar in with_progress(results, inputs):
        with clear_of_the_bar:
            if images == 1 and output.is_file:
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
                persons += len(result["boxes"])
                if result.truncated:
                    print_status(_truncation(result))
    seconds = time.monotonic() - began
    print_status(
        f"{_count(persons, 'person')} in {_count(images, 'image')}, {seconds:.2f} s"
        + (f"; {failed} failed" if failed else "")
        + (f"; saved to {output.save_path}" if output.save_path is not None and images else "")
    )
    return FAILED if failed else 0


def _truncation(result: KeypointResult) -> str:
    return (
        f"warning: {result['input_path']!r}: more persons were found than the server gives for one "
        f"image; these are the {len(result['boxes'])} with the best scores"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
