"""Where a job keeps what, in its output directory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The files of a job.

    Attributes:
        root: The output directory.
    """

    root: Path

    @property
    def job(self) -> Path:
        """What the job is to do: settings."""
        return self.root / "job" / "job.json"

    @property
    def inputs(self) -> Path:
        """What the job is to do: its items, one row group per shard."""
        return self.root / "job" / "inputs.parquet"

    @property
    def lock(self) -> Path:
        """Held by the run that works on the job."""
        return self.root / "job" / "lock"

    @property
    def run(self) -> Path:
        """What the run that works on the job must clean up, or the next one for it."""
        return self.root / "job" / "run.json"

    @property
    def poses(self) -> Path:
        """Directory of the results."""
        return self.root / "poses"

    @property
    def coco(self) -> Path:
        """All persons in COCO's format."""
        return self.root / "coco.json"

    def part(self, shard: int) -> Path:
        """The results of a shard; there as soon as it is complete."""
        return self.poses / f"part-{shard:06d}.parquet"


def temporary_beside(path: Path) -> Path:
    """A new name for a file that is to become `path`; readers of Parquet skip its dot."""
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")


def publish(temporary: Path, path: Path) -> None:
    """Gives a complete file its name at once, so that it survives a crash of the machine."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def remove_temporaries(directory: Path) -> None:
    """Removes the incomplete files of a run that was killed."""
    for path in directory.glob(".*.tmp"):
        path.unlink(missing_ok=True)
