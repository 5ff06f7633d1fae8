"""A progress bar on standard error, where somebody looks at it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

    from tritonpose.result import KeypointResult


def with_progress(
    results: Iterable[KeypointResult], inputs: Sequence[str]
) -> Iterator[tuple[KeypointResult, AbstractContextManager[object]]]:
    """Show how many results there are so far.

    There is no bar for a single image, where standard error is no terminal, and where tqdm is not
    installed (the client alone does not bring it).

    Args:
        results: The results, as they come.
        inputs: What they are the results of.

    Yields:
        Each result, with a context to print it in: it takes the bar out of the way.
    """
    tqdm = _import_tqdm() if sys.stderr.isatty() else None
    total = count_images(inputs) if tqdm else 1
    if tqdm is None or total == 1:
        yield from ((result, nullcontext()) for result in results)
        return
    with tqdm(total=total, unit="image", file=sys.stderr, dynamic_ncols=True) as bar:
        for result in results:
            yield result, tqdm.external_write_mode(file=sys.stderr)
            bar.update()


def _import_tqdm() -> type[tqdm[Any]] | None:
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return None
    return tqdm


def count_images(inputs: Sequence[str]) -> int | None:
    """How many images inputs hold, as far as their names tell.

    Args:
        inputs: Paths and URLs.

    Returns:
        Their number, None where a video is among them: its length is known at its end.
    """
    from tritonpose.inputs.kinds import has_image_name, has_video_name, is_url

    count = 0
    for item in inputs:
        names = [item]
        if not is_url(item) and Path(item).is_dir():
            names = [name for _, _, files in os.walk(item) for name in files]
            names = [name for name in names if has_image_name(name) or has_video_name(name)]
        if any(has_video_name(name) for name in names if not is_url(name)):
            return None
        count += len(names)
    return count
