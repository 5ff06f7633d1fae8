"""PaddleX's own pipeline, in process; runs inside PaddleX's environment.

Served by ``line_server``; its argument holds the arguments of ``paddlex.create_pipeline``, as JSON.
"""

from __future__ import annotations

import itertools
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

    def answer(self, sample: dict[str, Any]) -> list[dict[str, Any]]:
        """Find the people in an image."""
        keys = ("coordinate", "det_score", "keypoints", "kpt_score")
        people = self._predict(sample)["boxes"]
        return [{key: np.asarray(person[key]).tolist() for key in keys} for person in people]

    def time_each(self, samples: list[dict[str, Any]]) -> list[float]:
        """Measure the seconds that each image takes, one after the other."""
        seconds = []
        for sample in samples:
            began = time.perf_counter()
            self._predict(sample)
            seconds.append(time.perf_counter() - began)
        return seconds

    def rate(
        self,
        samples: list[dict[str, Any]],
        concurrency: int,  # noqa: ARG002 (it takes one image at a time)
        skip: int,
        count: int,
    ) -> tuple[float, int]:
        """Measure images per second after the first ``skip``, and count all images."""
        feed = itertools.cycle(samples)
        for sample in itertools.islice(feed, skip):
            self._predict(sample)
        began = time.perf_counter()
        for sample in itertools.islice(feed, count):
            self._predict(sample)
        return count / (time.perf_counter() - began), skip + count

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

    def _predict(self, sample: dict[str, Any]) -> Any:
        (result,) = self._pipeline.predict(sample["path"], det_threshold=sample["det_threshold"])
        return result


def open_worker(arguments: str) -> PaddleXPipeline:
    """Load the pipeline."""
    return PaddleXPipeline(json.loads(arguments))
