"""What contestants are asked: one image with one detector threshold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Shot:
    """One image to find people in.

    Attributes:
        path: The file; reading and decoding it is part of the work.
        det_threshold: Lowest detector score, None for the pipeline's own.
    """

    path: Path
    det_threshold: float | None = None
