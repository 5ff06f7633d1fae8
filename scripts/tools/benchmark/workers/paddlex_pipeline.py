"""PaddleX's own pipeline, in process; runs inside the environment of `paddlex_environment`.

Served by ``line_server``; its argument is what ``paddlex.create_pipeline`` is given, as JSON.
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
    """PaddleX's pipeline. A shot is a mapping with ``path`` and ``det_threshold``."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self._pipeline = create_pipeline(**arguments)

    def facts(self) -> dict[str, str]:
        """Versions of what it is made of."""
        packages = ("paddlex", "paddlepaddle", "numpy", "opencv-contrib-python")
        return {package: version(package) for package in packages}

    def answer(self, shot: dict[str, Any]) -> dict[str, Any]:
        """The persons in an image."""
        persons = self._predict(shot)["boxes"]
        return {
            "boxes": [[float(value) for value in person["coordinate"]] for person in persons],
            "det_scores": [float(person["det_score"]) for person in persons],
            "keypoints": [np.asarray(person["keypoints"]).tolist() for person in persons],
            "kpt_scores": [float(person["kpt_score"]) for person in persons],
        }

    def time_each(self, shots: list[dict[str, Any]]) -> list[float]:
        """Seconds of each of some images, one after the other."""
        seconds = []
        for shot in shots:
            began = time.perf_counter()
            self._predict(shot)
            seconds.append(time.perf_counter() - began)
        return seconds

    def rate(
        self,
        shots: list[dict[str, Any]],
        concurrency: int,  # noqa: ARG002 (it takes one image at a time)
        skip: int,
        count: int,
    ) -> tuple[float, int]:
        """Images per second over ``count`` images after the first ``skip``, and images in all."""
        feed = itertools.cycle(shots)
        for shot in itertools.islice(feed, skip):
            self._predict(shot)
        began = time.perf_counter()
        for shot in itertools.islice(feed, count):
            self._predict(shot)
        return count / (time.perf_counter() - began), skip + count

    def draw(self, image: str, keypoints: list[Any], repeat: int, target: str) -> list[float]:
        """Seconds of drawing people into an image, each time; saves the picture as ``.npy``."""
        pixels = cv2.imread(image)
        content = {"keypoints": np.array(keypoints, np.float32)}
        seconds = []
        for _ in range(repeat):
            began = time.perf_counter()
            picture = keypoint_result.draw_keypoints(pixels, content)
            seconds.append(time.perf_counter() - began)
        np.save(target, picture)
        return seconds

    def _predict(self, shot: dict[str, Any]) -> Any:
        (result,) = self._pipeline.predict(shot["path"], det_threshold=shot["det_threshold"])
        return result


def open_worker(arguments: str) -> PaddleXPipeline:
    """Load the pipeline."""
    return PaddleXPipeline(json.loads(arguments))
