"""The limit: the project's numerics around OpenVINO in one process, without Triton.

Served by ``line_server``; its arguments are the directories of the detector and the keypoint
model and the pipeline's parameters as JSON.
"""

from __future__ import annotations

import json
import os
import queue
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import openvino

from tools.answers import SAVED_KEYS
from tools.benchmark.load import Rate, measure_rate
from tritonpose_pipeline.image import check_file, decode_image
from tritonpose_pipeline.pipeline import Poses, estimate_poses
from tritonpose_pipeline.repository import ModelRepository
from tritonpose_pipeline.request import resolve_options
from tritonpose_pipeline.settings import PipelineSettings

Images = npt.NDArray[np.uint8]
Outputs = list[npt.NDArray[np.float32]]
Sample = dict[str, Any]


class OpenVinoModel:
    """Runs a model image by image, on a graph of fixed shape. Safe to use from several threads.

    Args:
        directory: The model's directory.
        outputs: Names of its outputs.
        streams: Images that run at the same time, of all batches together.
        threads: Threads of all streams together.
    """

    def __init__(
        self, directory: Path, outputs: tuple[str, ...], *, streams: int, threads: int
    ) -> None:
        compiled = _compile(directory, streams, threads)
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(streams):
            self._requests.put(compiled.create_infer_request())
        self._helpers = ThreadPoolExecutor(streams)
        self._outputs = outputs

    def run(self, images: Images) -> Outputs:
        """Run it on uint8 ``[B, h, w, 3]`` RGB images; its outputs are ``[B, ...]`` each."""
        first, *others = images
        with_others = [self._helpers.submit(self._infer, image) for image in others]
        results = [self._infer(first), *(future.result() for future in with_others)]
        return [np.stack(output) for output in zip(*results, strict=True)]

    def _infer(self, image: Images) -> Outputs:
        request = self._requests.get()
        try:
            request.infer({"image": np.ascontiguousarray(image[None])}, share_inputs=True)
            # Copies: the next image overwrites them.
            return [request.get_tensor(name).data[0].copy() for name in self._outputs]
        finally:
            self._requests.put(request)


def _compile(directory: Path, streams: int, threads: int) -> openvino.CompiledModel:
    settings = {
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": threads,
        # OpenVINO picks bf16 by itself where the CPU has it, which changes results.
        "INFERENCE_PRECISION_HINT": "f32",
        # Two models share the cores: pinned threads would fight for the same ones.
        "ENABLE_CPU_PINNING": False,
    }
    core = openvino.Core()
    model = core.read_model(directory / "1" / "model.onnx")
    # A graph of fixed shape runs up to twice as fast.
    model.reshape([1, *list(model.inputs[0].partial_shape)[1:]])
    return core.compile_model(model, "CPU", settings)


class BareEngine:
    """The pipeline without a server. A sample is a mapping with ``path`` and ``det_threshold``.

    With one image in flight, the detector runs on all cores and the crops side by side; with
    several, all models run side by side, one image on each core.
    """

    def __init__(self, detector: Path, keypoint_model: Path, parameters: dict[str, str]) -> None:
        # As in Triton: requests run side by side, one thread each.
        cv2.setNumThreads(1)
        self._repository = ModelRepository(detector.parent, keypoint_model.parent)
        self._settings = PipelineSettings.from_parameters(parameters)
        self._keypoint_model = self._repository.keypoint_model(keypoint_model.name)
        outputs = {detector: ("boxes", "scores"), keypoint_model: ("heatmap",)}
        cores = len(os.sched_getaffinity(0))
        self._alone, self._side_by_side = (
            {
                path.name: OpenVinoModel(path, names, streams=streams, threads=cores)
                for path, names in outputs.items()
            }
            for streams in (1, cores)
        )

    def facts(self) -> dict[str, str]:
        """Report the versions of its libraries."""
        return {"openvino": version("openvino"), "opencv": cv2.__version__}

    def estimate(self, sample: Sample, *, several: bool = False) -> Poses:
        """Find the people in an image; ``several`` if other images are in flight."""

        def run(model: str, images: Images, outputs: tuple[str, ...]) -> Outputs:  # noqa: ARG001
            alone = len(images) == 1 and not several
            return (self._alone if alone else self._side_by_side)[model].run(images)

        options = resolve_options(self._settings, self._repository, sample["det_threshold"], {})
        image = decode_image(check_file(Path(sample["path"]).read_bytes()))
        return estimate_poses(image, options, run)

    def people(self, poses: Poses) -> list[dict[str, Any]]:
        """Convert poses to JSON in PaddleX's format."""
        arrays = (values.tolist() for values in poses[:4])
        return [dict(zip(SAVED_KEYS, person, strict=True)) for person in zip(*arrays, strict=True)]

    def rate(self, samples: list[Sample], concurrency: int, skip: int, count: int) -> Rate:
        """Measure images per second; see `measure_rate`."""
        estimate = partial(self.estimate, several=concurrency > 1)
        return measure_rate(estimate, samples, concurrency, skip, count)

    def crop_seconds(self, batch: int, repeat: int) -> list[float]:
        """Measure the keypoint model's seconds per crop, of each of some batches on all cores."""
        model = self._keypoint_model
        crops = np.zeros((batch, model.height, model.width, 3), np.uint8)
        seconds = []
        for _ in range(repeat):
            began = time.perf_counter()
            self._side_by_side[model.name].run(crops)
            seconds.append((time.perf_counter() - began) / batch)
        return seconds


def open_worker(detector: str, keypoint_model: str, parameters: str) -> BareEngine:
    """Load the models."""
    return BareEngine(Path(detector), Path(keypoint_model), json.loads(parameters))
