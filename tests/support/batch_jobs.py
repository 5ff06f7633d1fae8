"""Jobs of ``tritonpose batch`` for tests: their inputs, their end by force, the plain loop."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from leftovers import descendants
from tritonpose import create_async_pipeline

DAMAGED = 10
"""Of this many files, three are damaged: one is text, one cut short, one missing."""


def fill(folder: Path, images: Sequence[Path], count: int) -> list[str | None]:
    """Fills a folder with many files.

    Args:
        folder: To be made.
        images: What most of them are links to, in turn.
        count: How many.

    Returns:
        Of each file, in the order of the names, the beginning of its error's message; None for
        the good ones.
    """
    folder.mkdir(parents=True)
    problems: list[str | None] = []
    for number in range(count):
        image = images[number % len(images)]
        path = folder / f"{number:06d}{image.suffix}"
        problem = None
        match number % DAMAGED:
            case 3:
                path.write_text("no image")
                problem = f"{str(path)!r} looks like text"
            case 5:
                path.write_bytes(image.read_bytes()[:1000])
                problem = f"{str(path)!r} begins like a"
            case 7:
                path.symlink_to("missing")
                problem = f"no such file or directory: {str(path)!r}"
            case _:
                path.symlink_to(image)
        problems.append(problem)
    return problems


def kill_all(process: subprocess.Popen[str]) -> list[int]:
    """Kills a program and everything that it started, at once; returns what that was."""
    everything = [process.pid, *descendants(process.pid)]
    for pid in everything:
        os.kill(pid, signal.SIGSTOP)
    everything += [pid for pid in descendants(process.pid) if pid not in everything]
    for pid in everything:
        os.kill(pid, signal.SIGKILL)
    process.wait()
    return everything


def plain_loop_rate(files: Sequence[Path], url: str, max_in_flight: int) -> float:
    """Images per second of the asynchronous client's plain loop over files."""

    async def loop() -> float:
        pipeline = create_async_pipeline(
            "human_keypoint_detection", url=url, max_in_flight=max_in_flight
        )
        async with pipeline:
            began = time.monotonic()
            async for _ in pipeline.predict(map(str, files), on_error="collect"):
                pass
            return len(files) / (time.monotonic() - began)

    return asyncio.run(loop())
