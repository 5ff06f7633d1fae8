"""The limit: the project's numerics around OpenVINO in one process, without Triton.

Served by ``line_server``; its arguments are the directories of the detector and the keypoint
model and the pipeline's parameters as JSON.
"""

from __future__ import annotations

import json
import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tools.benchmark.load import measure_rate
from tools.benchmark.workers.openvino_model import DirectModel, Model, SideBySideModel
from tritonpose_pipeline.image import check_file, decode_image
from tritonpose_pipeline.pipeline import Poses, estimate_poses
from tritonpose_pipeline.repository import ModelRepository
from tritonpose_pipeline.request import resolve_options
from tritonpose_pipeline.settings import PipelineSettings

Shot = dict[str, Any]


class BareEngine:
    """The pipeline without a server. A shot is a mapping with ``path`` and ``det_threshold``.

    One image at a time, the detector runs on all cores and the crops side by side; with several
    images in flight, all run side by side, one on each core.
    """

    def __init__(self, detector: Path, keypoint_model: Path, parameters: dict[str, str]) -> None:
        # As in Triton: requests run side by side, one thread each.
        cv2.setNumThreads(1)
        self._repository = ModelRepository(detector.parent, keypoint_model.parent)
        self._settings = PipelineSettings.from_parameters(parameters)
        self._keypoint_model = self._repository.keypoint_model(keypoint_model.name)
        outputs = {detector: ("boxes", "scores"), keypoint_model: ("heatmap",)}
        cores = len(os.sched_getaffinity(0))
        self._direct: dict[str, Model] = {
            path.name: DirectModel(path, names, cores) for path, names in outputs.items()
        }
        self._side_by_side: dict[str, Model] = {
            path.name: SideBySideModel(path, names, streams=cores, threads=cores)
            for path, names in outputs.items()
        }

    def facts(self) -> dict[str, str]:
        """Versions of what it is made of."""
        return {"openvino": version("openvino"), "opencv": cv2.__version__}

    def answer(self, shot: Shot) -> dict[str, Any]:
        """The persons in an image."""
        poses = self._estimate(shot, self._direct)._asdict()
        return {name: values.tolist() for name, values in poses.items()}

    def time_each(self, shots: list[Shot]) -> list[float]:
        """Seconds of each of some images, one after the other."""
        seconds = []
        for shot in shots:
            began = time.perf_counter()
            self._estimate(shot, self._direct)
            seconds.append(time.perf_counter() - began)
        return seconds

    def rate(self, shots: list[Shot], concurrency: int, skip: int, count: int) -> tuple[float, int]:
        """Images per second with so many in flight, and images in all; see `measure_rate`."""
        models = self._direct if concurrency == 1 else self._side_by_side
        rate = measure_rate(
            lambda shot: self._estimate(shot, models), shots, concurrency, skip, count
        )
        return rate.per_second, rate.images

    def crop_seconds(self, batch: int, repeat: int) -> list[float]:
        """Seconds of the keypoint model per crop, of each of some batches on all cores."""
        model = self._keypoint_model
        crops = np.zeros((batch, model.height, model.width, 3), np.uint8)
        seconds = []
        for _ in range(repeat):
            began = time.perf_counter()
            self._direct[model.name].run(crops)
            seconds.append((time.perf_counter() - began) / batch)
        return seconds

    def _estimate(self, shot: Shot, models: dict[str, Model]) -> Poses:
        options = resolve_options(self._settings, self._repository, shot["det_threshold"], {})
        image = decode_image(check_file(Path(shot["path"]).read_bytes()))
        return estimate_poses(image, options, lambda model, images, _: models[model].run(images))


def open_worker(detector: str, keypoint_model: str, parameters: str) -> BareEngine:
    """Load the models."""
    return BareEngine(Path(detector), Path(keypoint_model), json.loads(parameters))
