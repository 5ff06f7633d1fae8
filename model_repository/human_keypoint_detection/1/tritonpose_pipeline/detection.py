"""Around the detector: its input from an image, the people from its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from tritonpose_pipeline.image import Image
from tritonpose_pipeline.repository import DetectorModel, NmsSettings

FloatArray = npt.NDArray[np.float32]


class Resized(NamedTuple):
    """An image at network size.

    Attributes:
        pixels: uint8 ``[h, w, 3]``, RGB.
        scale: Network pixels per image pixel, float32 ``[2]``: x, y.
    """

    pixels: Image
    scale: FloatArray


class Detections(NamedTuple):
    """Detected people, by descending score.

    Attributes:
        boxes: float32 ``[N, 4]``, x1, y1, x2, y2 in image pixels, inside the image.
        scores: float32 ``[N]``.
    """

    boxes: FloatArray
    scores: FloatArray


def detector_scale(image_size: tuple[int, int], model: DetectorModel) -> float:
    """Count the pixels of an image, in each direction, that become one for the detector.

    The fewer of both directions; ``image_size`` is width and height in pixels.
    """
    scales = image_size[0] / model.width, image_size[1] / model.height
    return max(scales) if model.keep_ratio else min(scales)


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


def select_people(
    boxes: FloatArray,
    scores: FloatArray,
    scale: FloatArray,
    image_size: tuple[int, int],
    thresholds: Sequence[float],
    model: DetectorModel,
) -> Detections:
    """Turn the detector's raw output into the people of one image.

    Args:
        boxes: float32 ``[A, 4]``, x1, y1, x2, y2 in network pixels, before NMS.
        scores: float32 ``[C, A]``, of each class that counts; ``[A]`` if there is one.
        scale: Network pixels per image pixel, float32 ``[2]``: x, y.
        image_size: Width and height of the image in pixels.
        thresholds: People of each class need a score strictly above it.
        model: The detector's facts (NMS settings).

    Returns:
        People whose clipped box has an area.

    Source: Paddle's ``multiclass_nms3``; PaddleX ``DetPostProcess`` and ``restructured_boxes``.
    """
    # Threshold before NMS: lower scores never suppress higher ones, and this drops ~90 % of the
    # candidates.
    found = []
    for of_class, threshold in zip(np.atleast_2d(scores), thresholds, strict=True):
        likely = of_class > threshold
        candidates, certainty = boxes[likely] / np.tile(scale, 2), of_class[likely]
        kept = nms(candidates, certainty, model.nms)
        found.append(Detections(candidates[kept], certainty[kept]))
    people = found[0] if len(found) == 1 else _merge(found, model.nms.keep_top_k)
    limits = np.array(image_size * 2, np.float32)
    clipped = np.clip(people.boxes, 0, limits)
    has_area = (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])
    return Detections(clipped[has_area], people.scores[has_area])


def people_inside(
    people: Detections, region: FloatArray, image_size: tuple[int, int]
) -> Detections:
    """Keep the people who stand in a region: the middle of a box's bottom edge tells.

    Args:
        people: The people, in any order.
        region: float32 ``[M, 2]``, the corners of a polygon, x, y in image pixels; its edges
            belong to it.
        image_size: Width and height of the image in pixels. Of boxes that leave the image, the
            last pixel in it counts, so that a region that is drawn up to the border has them.
    """
    x1, _, x2, y2 = people.boxes.T
    feet = np.stack([(x1 + x2) / 2, y2], axis=1)
    feet = np.clip(feet, 0, np.array(image_size, np.float32) - 1)
    inside = [
        cv2.pointPolygonTest(region, point, measureDist=False) >= 0 for point in feet.tolist()
    ]
    kept = np.array(inside, np.bool_)
    return Detections(people.boxes[kept], people.scores[kept])


def _merge(found: Sequence[Detections], keep_top_k: int) -> Detections:
    """Put the detections of several classes together, the best ones first."""
    boxes = np.concatenate([each.boxes for each in found])
    scores = np.concatenate([each.scores for each in found])
    order = np.argsort(-scores, kind="stable")
    if keep_top_k > -1:
        order = order[:keep_top_k]
    return Detections(boxes[order], scores[order])


def nms(boxes: FloatArray, scores: FloatArray, settings: NmsSettings) -> npt.NDArray[np.intp]:
    """Suppress boxes that overlap a better one.

    Greedy and exact: the best remaining candidate is kept and suppresses every later one whose
    IoU with it is above the threshold. Equal scores keep the order in which they are given
    (Paddle sorts candidates stably).

    Args:
        boxes: ``[A, 4]`` float32, x1, y1, x2, y2 in any one unit.
        scores: ``[A]`` float32.
        settings: Thresholds and limits.

    Returns:
        Indices of the kept boxes, ``[K]``, by descending score.

    Source: PaddlePaddle operator ``multiclass_nms3`` (``NMSFast`` with ``nms_eta`` 1).
    """
    candidates = np.flatnonzero(scores > settings.score_threshold)
    order = candidates[np.argsort(-scores[candidates], kind="stable")]
    if settings.top_k > -1:
        order = order[: settings.top_k]
    x1, y1, x2, y2 = boxes[order].T
    areas = np.maximum(x2 - x1, 0) * np.maximum(y2 - y1, 0)
    alive = np.ones(order.size, dtype=bool)
    kept: list[int] = []
    for i in range(order.size):
        if not alive[i]:
            continue
        kept.append(i)
        if len(kept) == settings.keep_top_k:
            break
        rest = slice(i + 1, None)
        width = np.minimum(x2[i], x2[rest]) - np.maximum(x1[i], x1[rest])
        height = np.minimum(y2[i], y2[rest]) - np.maximum(y1[i], y1[rest])
        overlap = np.maximum(width, 0) * np.maximum(height, 0)
        union = areas[i] + areas[rest] - overlap
        iou = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
        alive[rest] &= iou <= settings.iou_threshold
    return order[kept]
