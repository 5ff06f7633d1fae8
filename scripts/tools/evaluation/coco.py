"""COCO keypoint annotations, and scores by pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tools.errors import ToolError
from tritonpose.export import coco_results
from tritonpose.transport.messages import PoseResponse
from tritonpose_pipeline.keypoint_schema import KeypointSchema, default_schema

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

    `person_boxes` is float32 ``[N, 4]``, x1, y1, x2, y2 in pixels: the people that count for the
    keypoints' scores. Crowds and people without annotated keypoints do not.
    """

    identifier: int
    path: Path
    person_boxes: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Annotated people, and all images: whatever is found in those without people is wrong."""

    images: tuple[CocoImage, ...]
    category: int
    coco: COCO


def load_ground_truth(annotations: Path, images: Path, prefix: str = "") -> GroundTruth:
    """Read a COCO annotation file such as ``person_keypoints_val2017.json``.

    ``prefix`` is put before the annotations' ``file_name`` in the images' paths.
    """
    try:
        content = json.loads(annotations.read_bytes())
    except (OSError, ValueError) as error:
        raise ToolError(f"can't read the annotations {annotations}: {error}") from error
    try:
        truth = parse_ground_truth(content, images, prefix)
    except (KeyError, TypeError) as error:
        raise ToolError(f"{annotations} has no COCO keypoint annotations: {error}") from error
    missing = [image.path for image in truth.images if not image.path.is_file()]
    if missing:
        raise ToolError(
            f"{len(missing)} of {len(truth.images)} annotated images are missing, the first is "
            f"{missing[0]}"
        )
    return truth


def parse_ground_truth(content: Mapping[str, Any], images: Path, prefix: str = "") -> GroundTruth:
    """Select the people of a COCO data set; KeyError names what is missing."""
    categories = [entry for entry in content["categories"] if entry["name"] == "person"]
    if not categories:
        categories = [entry for entry in content["categories"] if entry.get("keypoints")]
    if len(categories) != 1:
        raise KeyError("no category is called 'person', and not just one has keypoints")
    category = int(categories[0]["id"])
    people = [each for each in content["annotations"] if each["category_id"] == category]
    # pycocotools ignores matches with an annotation of id 0: ids begin at 1 here.
    numbered = [
        {key: person[key] for key in _NEEDED} | {"id": number}
        for number, person in enumerate(people, start=1)
    ]
    coco = _indexed(
        {
            "images": [{"id": entry["id"]} for entry in content["images"]],
            "categories": categories[:1],
            "annotations": numbered,
        }
    )
    found = []
    for entry in content["images"]:
        boxes = []
        for person in coco.imgToAnns[entry["id"]]:
            x, y, width, height = person["bbox"]
            counts = person["num_keypoints"] > 0 and not person["iscrowd"]
            # Empty boxes can't be cropped.
            if counts and width > 0 and height > 0:
                boxes.append([x, y, x + width, y + height])
        path = images / f"{prefix}{entry['file_name']}"
        person_boxes = np.array(boxes, np.float32).reshape(-1, 4)
        found.append(CocoImage(int(entry["id"]), path, person_boxes))
    return GroundTruth(tuple(found), category, coco)


def coco_scores(
    truth: GroundTruth, images: Sequence[CocoImage], answers: Sequence[PoseResponse], kind: Kind
) -> Scores:
    """Compare answers with annotations; similarity of keypoints is COCO's OKS, of boxes IoU.

    Images that were not sent count as answered by nobody. ToolError if the annotations are of
    another number of keypoints, or nobody knows the sigmas that OKS needs.
    """
    results = [
        _ranked(kind, result, float(det_score))
        for image, people in zip(images, answers, strict=True)
        for result, det_score in zip(
            coco_results(people, image.identifier, truth.category), people.det_scores, strict=True
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        # loadRes fails where nobody was found.
        nobody = {**truth.coco.dataset, "annotations": []}
        found = truth.coco.loadRes(results) if results else _indexed(nobody)
        evaluation = COCOeval(truth.coco, found, kind)
        if kind == "keypoints" and answers:
            schema = answers[0].schema
            _check_joints(truth, schema)
            # Those of COCO's keypoints are pycocotools' own.
            if schema != default_schema(17):
                evaluation.params.kpt_oks_sigmas = np.array(schema.sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    figures = zip(FIGURES[kind], evaluation.stats, strict=True)
    return {name: None if value < 0 else float(value) for name, value in figures}


def _check_joints(truth: GroundTruth, schema: KeypointSchema) -> None:
    joints = len(schema.names)
    annotated = {len(each["keypoints"]) // 3 for each in truth.coco.dataset["annotations"]}
    if annotated - {joints}:
        raise ToolError(
            f"the annotations have {max(annotated - {joints})} keypoints per person, the model has "
            f"{joints}"
        )
    if schema.sigmas is None:
        raise ToolError(
            f"COCO's scores of {joints} keypoints need their sigmas: give them as `sigmas` in the "
            "section `Keypoints` of the pipeline file, or in keypoints.yml beside the model"
        )


def _ranked(kind: Kind, result: Mapping[str, Any], det_score: float) -> dict[str, Any]:
    """Keep what one kind of evaluation takes; boxes are ranked by the detector's score."""
    kept = {key: result[key] for key in ("image_id", "category_id", "score", kind)}
    return kept | {"score": det_score} if kind == "bbox" else kept


def _indexed(dataset: dict[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = dataset
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco
