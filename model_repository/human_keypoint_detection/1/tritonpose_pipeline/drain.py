"""Whether the server takes requests, which whoever started it decides."""

from __future__ import annotations

import os

_VARIABLE = "TRITONPOSE_DRAIN_FILE"


def shutting_down() -> bool:
    """Whether the file that `$TRITONPOSE_DRAIN_FILE` names exists.

    Triton 2.51 itself goes on taking gRPC requests while it waits for those under way to finish,
    so that under load it would never end.
    """
    path = os.environ.get(_VARIABLE)
    return path is not None and os.path.exists(path)  # noqa: PTH110 - a microsecond, not five
