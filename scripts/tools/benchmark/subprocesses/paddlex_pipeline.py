"""PaddleX's own pipeline, in process; runs inside PaddleX's environment.

Served by ``line_server``; its argument holds the arguments of ``paddlex.create_pipeline``, as JSON.
"""

from __future__ import annotations

import json
import time
from importlib.metadata import version
from typing import Any

import cv2
import numpy as np
from paddlex import create_pipeline  # type: ignore[import-not-found]
from paddlex.inference.models.keypoint_detection import (  # type: ignore[import-not-found]
    result as keypoint_result,
)


class PaddleXPipeline:
    """PaddleX's pipeline. A sample is a mapping with ``path`` and ``det_threshold``."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._pipeline = create_pipeline(**arguments)

    def facts(self) -> dict[str, str]:
        """Report the versions of its libraries."""
        packages = ("paddlex", "paddlepaddle", "numpy", "opencv-contrib-python")
        return {package: version(package) for package in packages}

    def estimate(self, sample: dict[str, Any]) -> Any:
        """Find the people in an image."""
        (result,) = self._pipeline.predict(sample["path"], det_threshold=sample["det_threshold"])
        return result

    def people(self, result: Any) -> list[dict[str, Any]]:
        """Convert a result to JSON."""
        keys = ("coordinate", "det_score", "keypoints", "kpt_score")
        return [{key: np.asarray(each[key]).tolist() for key in keys} for each in result["boxes"]]

    def draw(self, image: str, keypoints: list[Any], repeat: int, target: str) -> list[float]:
        """Measure the seconds of drawing people, each time; saves the picture as ``.npy``."""
        pixels = cv2.imread(image)
        content = {"keypoints": np.array(keypoints, np.float32)}
        seconds = []
        for _ in range(repeat):
            began = time.perf_counter()
            picture = keypoint_result.draw_keypoints(pixels, content)
            seconds.append(time.perf_counter() - began)
        np.save(target, picture)
        return seconds


def open_worker(arguments: str) -> PaddleXPipeline:
    """Load the pipeline."""
    return PaddleXPipeline(json.loads(arguments))
