"""OpenCV's settings in processes that serve many images at once."""

from __future__ import annotations

from typing import Any

import cv2


def set_up_opencv(module: Any = cv2) -> None:
    """Compute with one thread per image, as images are computed side by side; log nothing.

    Errors of decoding go to the client. OpenCV 5 keeps the function for its log elsewhere.
    """
    module.setNumThreads(1)
    set_log_level = getattr(module, "setLogLevel", None) or module.utils.logging.setLogLevel
    set_log_level(0)
