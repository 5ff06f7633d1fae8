"""Around the detector: the network's input from an image, persons from its output."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from tritonpose_pipeline.image import Image
from tritonpose_pipeline.model_facts import DetectorModel
from tritonpose_pipeline.nms import nms

FloatArray = npt.NDArray[np.float32]


class Resized(NamedTuple):
    """An image at network size.

    Attributes:
        pixels: uint8 ``[h, w, 3]``, RGB.
        scale: Network pixels per image pixel, float32 ``[2]``: x, y.
    """

    pixels: Image
    scale: FloatArray


class Persons(NamedTuple):
    """Detected persons, by descending score.

    Attributes:
        boxes: float32 ``[N, 4]``, x1, y1, x2, y2 in image pixels, inside the image.
        scores: float32 ``[N]``.
    """

    boxes: FloatArray
    scores: FloatArray


def resize_for_detector(image: Image, model: DetectorModel) -> Resized:
    """Bring an image to the detector's input size.

    Args:
        image: uint8 ``[H, W, 3]``, BGR.
        model: The detector's facts.

    Returns:
        The resized image in RGB. With ``model.keep_ratio`` it fills the top left corner and the
        rest has ``model.pad_value``.

    Source: PaddleX ``Resize`` (cv2.resize on uint8).
    """
    height, width = image.shape[:2]
    if not model.keep_ratio:
        resized = cv2.resize(image, (model.width, model.height), interpolation=model.interpolation)
        scale = np.array([model.width / width, model.height / height], np.float32)
        return Resized(np.asarray(cv2.cvtColor(resized, cv2.COLOR_BGR2RGB), np.uint8), scale)
    ratio = min(model.width / width, model.height / height)
    inner = (max(round(width * ratio), 1), max(round(height * ratio), 1))
    resized = cv2.resize(image, inner, interpolation=model.interpolation)
    canvas = np.empty((model.height, model.width, 3), np.uint8)
    canvas[:] = model.pad_value
    canvas[: inner[1], : inner[0]] = cv2.cvtColor(resized, cv2.COLOR_BGR2RGB)
    return Resized(canvas, np.array([inner[0] / width, inner[1] / height], np.float32))


def select_persons(
    boxes: FloatArray,
    scores: FloatArray,
    scale: FloatArray,
    image_size: tuple[int, int],
    threshold: float,
    model: DetectorModel,
) -> Persons:
    """Turn the detector's raw output into the persons of one image.

    Args:
        boxes: float32 ``[A, 4]``, x1, y1, x2, y2 in network pixels, before NMS.
        scores: float32 ``[A]``.
        scale: Network pixels per image pixel, float32 ``[2]``: x, y.
        image_size: Width and height of the image in pixels.
        threshold: Persons need a score strictly above it.
        model: The detector's facts (NMS settings).

    Returns:
        Persons whose clipped box has an area.

    Source: Paddle's ``multiclass_nms3``; PaddleX ``DetPostProcess`` and ``restructured_boxes``.
    """
    # Before NMS, as worse boxes suppress no better ones: nine in ten candidates are gone.
    likely = scores > threshold
    boxes, scores = boxes[likely] / np.tile(scale, 2), scores[likely]
    kept = nms(boxes, scores, model.nms)
    limits = np.array(image_size * 2, np.float32)
    clipped = np.clip(boxes[kept], 0, limits)
    has_area = (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])
    return Persons(clipped[has_area], scores[kept][has_area])
