"""Inputs that a model gets for photos, made by the pipeline's own code: for calibration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from tritonpose.file_types import is_video
from tritonpose.inputs import decode_source, load_source
from tritonpose.inputs.expansion import files_in
from tritonpose_pipeline.detection import resize_for_detector
from tritonpose_pipeline.errors import ModelError
from tritonpose_pipeline.photo import Photo
from tritonpose_pipeline.pipeline import detect_people, estimate_keypoints
from tritonpose_pipeline.repository import DetectorModel, KeypointModel, ModelRepository
from tritonpose_pipeline.request import PoseOptions
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models.store import ModelStore

Image = npt.NDArray[np.uint8]

# More calibration inputs hardly change the ranges found, but take their time.
MAX_INPUTS = 200


def calibration_inputs(
    store: ModelStore,
    name: str,
    images: Sequence[Path],
    detector: str,
    *,
    max_inputs: int = MAX_INPUTS,
) -> list[Image]:
    """Make what a model gets for photos, uint8 ``[h, w, 3]`` RGB each.

    From more than ``max_inputs`` images, that many are taken evenly. For a keypoint model,
    ``detector`` finds the people, and each image gives its surest, no more than its even share.
    Files that can't be read are an `InputError`; no images or no people an `EmbeddedServerError`.
    """
    repository = ModelRepository(store.root)
    files = _choose(images, max_inputs)
    try:
        if name in repository.names("detector"):
            model = repository.detector(name)
            return [resize_for_detector(_read(file), model).pixels for file in files]
        keypoint_model, finder = repository.keypoint_model(name), repository.detector(detector)
    except ModelError as error:
        raise EmbeddedServerError(str(error)) from error
    return _person_crops(keypoint_model, finder, files, store.model_file(detector), max_inputs)


def _person_crops(
    keypoint_model: KeypointModel,
    detector: DetectorModel,
    files: Sequence[str],
    detector_file: Path,
    max_inputs: int,
) -> list[Image]:
    session = onnxruntime.InferenceSession(detector_file, providers=["CPUExecutionProvider"])
    crops: list[Image] = []

    def run_model(
        model: str, images: Image, outputs: tuple[str, ...]
    ) -> list[npt.NDArray[np.float32]]:
        if model == detector.name:
            return list(session.run(list(outputs), {"image": images}))
        crops.extend(images)
        joints = len(keypoint_model.schema.names)
        shape = (len(images), joints, keypoint_model.height // 4, keypoint_model.width // 4)
        return [np.zeros(shape, np.float32)]

    options = PoseOptions(
        detector,
        keypoint_model,
        (detector.threshold,) * len(detector.classes),
        flip=False,
        use_udp=keypoint_model.use_udp,
        schema=keypoint_model.schema,
    )
    share = max_inputs // len(files)
    for file in files:
        photo = Photo(_read(file))
        boxes = detect_people(photo, options, run_model).boxes[:share]
        estimate_keypoints(photo, boxes, options, run_model)
    if not crops:
        raise EmbeddedServerError(
            f"{detector.name} found no person in the {len(files)} calibration images: name "
            "photos of people"
        )
    return crops


def _choose(places: Sequence[Path], most: int) -> list[str]:
    """Return the image files in places, in the order given, those of a directory sorted."""
    files: list[str] = []
    for path in map(str, places):
        found = [file.path for file in files_in(path) if not is_video(file.path)]
        files += found or [path]
    if not files:
        raise EmbeddedServerError("calibration needs images: name files or directories")
    return files[:: -(-len(files) // most)]


def _read(file: str) -> Image:
    """Read an image, or the first of a file, and decode it as the pipeline does."""
    source = load_source(file)[0].source
    return source if isinstance(source, np.ndarray) else decode_source(source, file)
