"""Makes the pipeline's numerics usable outside of Triton."""

from __future__ import annotations

import sys

from tritonpose.transport.messages import MODEL_NAME
from tritonpose_server import resources


def make_topdown_importable() -> None:
    """Let ``import topdown`` find the package that the pipeline model runs."""
    directory = str(resources.model_repository() / MODEL_NAME / "1")
    # Last: beside the package lies the pipeline's `model.py`, which is to hide no other module.
    if directory not in sys.path:
        sys.path.append(directory)
