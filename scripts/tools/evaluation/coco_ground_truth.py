"""COCO keypoint annotations: which images, which people, and what pycocotools is to know."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tools.errors import EvaluationError

_NEEDED = ("image_id", "category_id", "bbox", "area", "iscrowd", "keypoints", "num_keypoints")


@dataclass(frozen=True, eq=False)
class CocoImage:
    """One image.

    Attributes:
        identifier: Its COCO id.
        path: Its file.
        person_boxes: float32 ``[N, 4]``, x1, y1, x2, y2 in pixels: the persons that count for
            the keypoints' scores. Crowds and persons without annotated keypoints do not.
    """

    identifier: int
    path: Path
    person_boxes: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Annotated people.

    Attributes:
        images: All images, also those without people: what is found there is wrong.
        category: COCO id of the category "person".
        dataset: The annotations of persons, as pycocotools takes them.
    """

    images: tuple[CocoImage, ...]
    category: int
    dataset: dict[str, Any]


def load_ground_truth(annotations: Path, images: Path, prefix: str = "") -> GroundTruth:
    """Read a COCO annotation file.

    Args:
        annotations: A file such as ``person_keypoints_val2017.json``.
        images: Directory of the images.
        prefix: What the images' paths there have before the annotations' ``file_name``.

    Raises:
        EvaluationError: The file isn't one, or images are missing.
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
    """Pick the persons out of a COCO data set; see `load_ground_truth`.

    Raises:
        KeyError: Something is missing; its text says what.
        TypeError: Something isn't what it should be.
    """
    categories = [entry for entry in content["categories"] if entry["name"] == "person"]
    if not categories:
        raise KeyError("no category is called 'person'")
    category = int(categories[0]["id"])
    persons: list[dict[str, Any]] = []
    for annotation in content["annotations"]:
        if annotation["category_id"] == category:
            # pycocotools takes a match with an annotation of id 0 for none: ids begin at 1 here.
            person = {key: annotation[key] for key in _NEEDED} | {"id": len(persons) + 1}
            persons.append(person)
    boxes = _boxes_with_keypoints(persons)
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
            "annotations": persons,
        },
    )


def _boxes_with_keypoints(persons: list[dict[str, Any]]) -> defaultdict[int, list[list[float]]]:
    """Boxes by image; empty ones are left out, for nothing can be cropped from them."""
    boxes = defaultdict(list)
    for person in persons:
        x, y, width, height = person["bbox"]
        counts = person["num_keypoints"] > 0 and not person["iscrowd"]
        if counts and width > 0 and height > 0:
            boxes[person["image_id"]].append([x, y, x + width, y + height])
    return boxes
