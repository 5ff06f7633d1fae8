"""COCO keypoint annotations, the server's answers as COCO results, and scores by pycocotools."""

from __future__ import annotations

import contextlib
import copy
import io
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tools.errors import EvaluationError
from tritonpose.export import person_scores
from tritonpose.transport.messages import PoseResponse

Kind = Literal["keypoints", "bbox"]

Scores = dict[str, float | None]
"""Figures from 0 to 1 by name, None where no annotated person has that size."""

FIGURES: dict[Kind, tuple[str, ...]] = {
    "keypoints": ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL"),
    "bbox": (
        *("AP", "AP50", "AP75", "APS", "APM", "APL"),
        *("AR1", "AR10", "AR100", "ARS", "ARM", "ARL"),
    ),
}
"""Names of the figures, in pycocotools' order. S, M, L: small, medium and large people."""

_NEEDED = ("image_id", "category_id", "bbox", "area", "iscrowd", "keypoints", "num_keypoints")


@dataclass(frozen=True, eq=False)
class CocoImage:
    """One image.

    Attributes:
        identifier: Its COCO id.
        path: Its file.
        person_boxes: float32 ``[N, 4]``, x1, y1, x2, y2 in pixels: the people that count for
            the keypoints' scores. Crowds and people without annotated keypoints do not.
    """

    identifier: int
    path: Path
    person_boxes: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Annotated people.

    Attributes:
        images: All images, including those without people: whatever is found there is wrong.
        category: COCO id of the category "person".
        dataset: The annotations of people, in pycocotools' format.
    """

    images: tuple[CocoImage, ...]
    category: int
    dataset: dict[str, Any]


def load_ground_truth(annotations: Path, images: Path, prefix: str = "") -> GroundTruth:
    """Read a COCO annotation file.

    Args:
        annotations: A file such as ``person_keypoints_val2017.json``.
        images: Directory of the images.
        prefix: Text before the annotations' ``file_name`` in the images' paths.

    Raises:
        EvaluationError: The file has no such annotations, or images are missing.
    """
    try:
        content = json.loads(annotations.read_bytes())
    except (OSError, ValueError) as error:
        raise EvaluationError(f"can't read the annotations {annotations}: {error}") from error
    try:
        truth = parse_ground_truth(content, images, prefix)
    except (KeyError, TypeError) as error:
        raise EvaluationError(f"{annotations} has no COCO keypoint annotations: {error}") from error
    missing = [image.path for image in truth.images if not image.path.is_file()]
    if missing:
        raise EvaluationError(
            f"{len(missing)} of {len(truth.images)} annotated images are missing, the first is "
            f"{missing[0]}"
        )
    return truth


def parse_ground_truth(content: Mapping[str, Any], images: Path, prefix: str = "") -> GroundTruth:
    """Select the people of a COCO data set; see `load_ground_truth`.

    Raises:
        KeyError: Something is missing; its text names it.
        TypeError: Something has the wrong type.
    """
    categories = [entry for entry in content["categories"] if entry["name"] == "person"]
    if not categories:
        raise KeyError("no category is called 'person'")
    category = int(categories[0]["id"])
    people: list[dict[str, Any]] = []
    for annotation in content["annotations"]:
        if annotation["category_id"] == category:
            # pycocotools ignores matches with an annotation of id 0: ids begin at 1 here.
            person = {key: annotation[key] for key in _NEEDED} | {"id": len(people) + 1}
            people.append(person)
    boxes = _boxes_with_keypoints(people)
    return GroundTruth(
        images=tuple(
            CocoImage(
                int(entry["id"]),
                images / f"{prefix}{entry['file_name']}",
                np.array(boxes[entry["id"]], np.float32).reshape(-1, 4),
            )
            for entry in content["images"]
        ),
        category=category,
        dataset={
            "images": [{"id": entry["id"]} for entry in content["images"]],
            "categories": categories[:1],
            "annotations": people,
        },
    )


def _boxes_with_keypoints(people: list[dict[str, Any]]) -> defaultdict[int, list[list[float]]]:
    """Collect boxes by image, without empty ones, which can't be cropped."""
    boxes = defaultdict(list)
    for person in people:
        x, y, width, height = person["bbox"]
        counts = person["num_keypoints"] > 0 and not person["iscrowd"]
        if counts and width > 0 and height > 0:
            boxes[person["image_id"]].append([x, y, x + width, y + height])
    return boxes


def keypoint_results(image: int, category: int, people: PoseResponse) -> list[dict[str, Any]]:
    """Convert the people of an image for COCO's keypoint evaluation.

    Args:
        image: The image's COCO id.
        category: COCO id of the category "person".
        people: The server's answer.
    """
    scores = person_scores(people.keypoints[..., 2], people.det_scores)
    return [
        {
            "image_id": image,
            "category_id": category,
            "keypoints": keypoints.reshape(-1).tolist(),
            "score": float(score),
        }
        for keypoints, score in zip(people.keypoints, scores, strict=True)
    ]


def box_results(image: int, category: int, people: PoseResponse) -> list[dict[str, Any]]:
    """Convert the boxes of an image for COCO's detection evaluation; see `keypoint_results`."""
    corners = people.boxes.astype(np.float64)
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    return [
        {
            "image_id": image,
            "category_id": category,
            "bbox": box.tolist(),
            "score": float(score),
        }
        for box, score in zip(boxes, people.det_scores, strict=True)
    ]


def coco_scores(truth: GroundTruth, results: Sequence[dict[str, Any]], kind: Kind) -> Scores:
    """Compare results with annotations; similarity of keypoints is COCO's OKS, of boxes IoU.

    Args:
        truth: The annotations.
        results: COCO results of all images.
        kind: What is compared.
    """
    # pycocotools modifies its arguments, and prints its progress.
    with contextlib.redirect_stdout(io.StringIO()):
        annotated = _indexed(truth.dataset)
        evaluation = COCOeval(annotated, _as_results(annotated, results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    figures = zip(FIGURES[kind], evaluation.stats, strict=True)
    return {name: None if value < 0 else float(value) for name, value in figures}


def _indexed(dataset: dict[str, Any]) -> Any:
    coco = COCO()
    coco.dataset = copy.deepcopy(dataset)
    coco.createIndex()
    return coco


def _as_results(annotated: Any, results: Sequence[dict[str, Any]]) -> Any:
    if results:
        return annotated.loadRes(copy.deepcopy(list(results)))
    # loadRes fails where nobody was found.
    return _indexed({**annotated.dataset, "annotations": []})
