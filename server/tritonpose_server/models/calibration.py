"""Inputs that a model gets for photos, made by the pipeline's own code: for calibration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import onnxruntime

from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models.photos import choose_photos, read_photo
from tritonpose_server.models.store import ModelStore

if TYPE_CHECKING:
    from tritonpose_pipeline.repository import DetectorModel, KeypointModel

Image = npt.NDArray[np.uint8]

# More calibration inputs hardly change the ranges found, but take their time.
MAX_INPUTS = 200


def detector_inputs(model: DetectorModel, images: Sequence[Path]) -> list[Image]:
    """What a detector gets for images.

    Args:
        model: The detector's facts.
        images: Image files, and directories that are searched for them. From more than
            ``MAX_INPUTS``, so many are taken evenly.

    Returns:
        uint8 ``[h, w, 3]`` RGB each.

    Raises:
        InputError: A file can't be read or is no image.
        EmbeddedServerError: There is no image, or one can't be decoded.
    """
    from tritonpose_pipeline.detection import resize_for_detector

    return [resize_for_detector(read_photo(file).pixels, model).pixels for file in _choose(images)]


def person_crops(
    keypoint_model: KeypointModel,
    detector: DetectorModel,
    images: Sequence[Path],
    store: ModelStore,
) -> list[Image]:
    """What a keypoint model gets for the persons in images.

    Args:
        keypoint_model: The keypoint model's facts.
        detector: The detector that finds the persons.
        images: See ``detector_inputs``.
        store: Holds the detector.

    Returns:
        At most ``MAX_INPUTS`` crops, uint8 ``[h, w, 3]`` RGB: of each image its surest persons,
        no more than its even share.

    Raises:
        InputError: A file can't be read or is no image.
        EmbeddedServerError: There is no image, one can't be decoded, or no person was found in
            them.
    """
    from tritonpose_pipeline.pipeline import JOINTS, detect_persons, estimate_keypoints
    from tritonpose_pipeline.request import PoseOptions

    session = onnxruntime.InferenceSession(
        store.path(detector.name) / "1" / "model.onnx", providers=["CPUExecutionProvider"]
    )
    crops: list[Image] = []

    def run_model(
        model: str, images: Image, outputs: tuple[str, ...]
    ) -> list[npt.NDArray[np.float32]]:
        if model == detector.name:
            return list(session.run(list(outputs), {"image": images}))
        crops.extend(images)
        return [
            np.zeros(
                (len(images), JOINTS, keypoint_model.height // 4, keypoint_model.width // 4),
                np.float32,
            )
        ]

    options = PoseOptions(
        detector, keypoint_model, detector.threshold, flip=False, use_udp=keypoint_model.use_udp
    )
    chosen = _choose(images)
    share = MAX_INPUTS // len(chosen)
    for file in chosen:
        image = read_photo(file).pixels
        boxes = detect_persons(image, options, run_model).boxes[:share]
        estimate_keypoints(image, boxes, options, run_model)
    if not crops:
        raise EmbeddedServerError(
            f"{detector.name} found no person in the {len(chosen)} calibration images: name "
            "photos of people"
        )
    return crops


def _choose(images: Sequence[Path]) -> list[str]:
    return choose_photos(images, MAX_INPUTS, "calibration")
