"""Makes the pipeline's numerics usable outside of Triton."""

from __future__ import annotations

import sys

from tritonpose_server import resources
from tritonpose_server.staging import PIPELINE


def make_topdown_importable() -> None:
    """Let ``import topdown`` find the package that the pipeline model runs."""
    directory = str(resources.model_repository() / PIPELINE / "1")
    # Last: beside the package lies the pipeline's `model.py`, which is to hide no other module.
    if directory not in sys.path:
        sys.path.append(directory)
