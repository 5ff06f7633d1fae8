"""The limit: the project's numerics around its OpenVINO engine in one process, without Triton.

Served by ``line_server``; its arguments are the directories of the detector and the keypoint
model and the pipeline's parameters as JSON.
"""

from __future__ import annotations

import json
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tools.answers import SAVED_KEYS
from tools.benchmark.load import Rate, measure_rate
from tritonpose_pipeline.image import check_file
from tritonpose_pipeline.photo import Photo
from tritonpose_pipeline.pipeline import Poses, estimate_poses
from tritonpose_pipeline.repository import ModelRepository
from tritonpose_pipeline.request import resolve_options
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.engines.engine import EngineConfig, TensorConfig
from tritonpose_server.engines.openvino import OpenVinoEngine, OpenVinoModel

Sample = dict[str, Any]

_IMAGE = TensorConfig("image", np.uint8, (-1, -1, -1))
_DETECTOR_OUTPUTS = (
    TensorConfig("boxes", np.float32, (-1, -1)),
    TensorConfig("scores", np.float32, (-1,)),
)
_KEYPOINT_OUTPUTS = (TensorConfig("heatmap", np.float32, (-1, -1, -1)),)


def _load(directory: Path, outputs: tuple[TensorConfig, ...]) -> OpenVinoModel:
    file = directory / "1" / "model.onnx"
    return OpenVinoEngine()(EngineConfig(directory.name, file, 1, (_IMAGE,), outputs, {}))


class BareEngine:
    """The pipeline without a server. A sample is a mapping with ``path`` and ``det_threshold``."""

    def __init__(self, detector: Path, keypoint_model: Path, parameters: dict[str, str]) -> None:
        # As in Triton: requests run side by side, one thread each.
        cv2.setNumThreads(1)
        self._repository = ModelRepository(detector.parent, keypoint_model.parent)
        self._settings = PipelineSettings.from_parameters(parameters)
        self._keypoint_model = self._repository.keypoint_model(keypoint_model.name)
        self._models = {
            detector.name: _load(detector, _DETECTOR_OUTPUTS),
            keypoint_model.name: _load(keypoint_model, _KEYPOINT_OUTPUTS),
        }

    def facts(self) -> dict[str, str]:
        """Report the versions of its libraries."""
        return {"openvino": version("openvino"), "opencv": cv2.__version__}

    def estimate(self, sample: Sample) -> Poses:
        """Find the people in an image."""

        def run(
            model: str,
            images: npt.NDArray[np.uint8],
            outputs: tuple[str, ...],  # noqa: ARG001
        ) -> list[npt.NDArray[np.float32]]:
            found = self._models[model].run({"image": images})
            return [output.astype(np.float32, copy=False) for output in found]

        options = resolve_options(self._settings, self._repository, sample["det_threshold"], {})
        photo = Photo(check_file(Path(sample["path"]).read_bytes()))
        return estimate_poses(photo, options, run)

    def people(self, poses: Poses) -> list[dict[str, Any]]:
        """Convert poses to JSON in PaddleX's format."""
        arrays = (values.tolist() for values in poses[:4])
        return [dict(zip(SAVED_KEYS, person, strict=True)) for person in zip(*arrays, strict=True)]

    def rate(self, samples: list[Sample], concurrency: int, skip: int, count: int) -> Rate:
        """Measure images per second; see `measure_rate`."""
        return measure_rate(self.estimate, samples, concurrency, skip, count)

    def crop_seconds(self, batch: int, repeat: int) -> list[float]:
        """Measure the keypoint model's seconds per crop, of each of some batches on all cores."""
        model = self._keypoint_model
        crops = np.zeros((batch, model.height, model.width, 3), np.uint8)
        seconds = []
        for _ in range(repeat):
            began = time.perf_counter()
            self._models[model.name].run({"image": crops})
            seconds.append((time.perf_counter() - began) / batch)
        return seconds


def open_worker(detector: str, keypoint_model: str, parameters: str) -> BareEngine:
    """Load the models."""
    return BareEngine(Path(detector), Path(keypoint_model), json.loads(parameters))
