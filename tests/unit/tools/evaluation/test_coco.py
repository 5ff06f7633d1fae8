"""COCO annotations, results and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tools.errors import ToolError
from tools.evaluation.coco import FIGURES, Kind, coco_scores, parse_ground_truth
from tritonpose.transport.messages import PoseResponse
from tritonpose_pipeline.keypoint_schema import KeypointSchema

# From the definition of the keypoint challenge, https://cocodataset.org/#keypoints-eval
SIGMAS = np.array(
    [
        *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
        *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    ]
)
AREA = 9000.0


def skeleton() -> npt.NDArray[np.float64]:
    """A person's annotation, ``[17, 3]``: a grid of joints, two of them not annotated."""
    index = np.arange(17)
    seen = np.where((index == 5) | (index == 9), 0, 2)
    return np.stack([30 + 10 * (index % 4), 40 + 15 * (index // 4), seen], axis=1).astype(float)


def annotation(**changes: Any) -> dict[str, Any]:
    ids = {"id": 0, "image_id": 7, "category_id": 3, "iscrowd": 0}
    keypoints = {"keypoints": skeleton().reshape(-1).tolist(), "num_keypoints": 15}
    return {**ids, "bbox": [20, 30, 60, 150], "area": AREA, **keypoints, **changes}


def dataset(*annotations: dict[str, Any]) -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "seven.jpg"}, {"id": 8, "file_name": "eight.jpg"}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 3, "name": "person"}],
        "annotations": list(annotations),
    }


def person(
    points: npt.NDArray[np.float64], score: float = 0.9, box: Sequence[float] = (1, 2, 3, 4)
) -> PoseResponse:
    """One person, all of whose keypoints are certain: the detector's score ranks it."""
    keypoints = points[None].astype(np.float32)
    keypoints[..., 2] = 1
    scores = np.array([score], np.float32)
    return PoseResponse(np.array([box], np.float32), scores, keypoints, scores)


def scores(
    *annotations: dict[str, Any], kind: Kind = "keypoints", **found: PoseResponse
) -> dict[str, float | None]:
    """Score what was found in the images ``seven`` and ``eight``."""
    truth = parse_ground_truth(dataset(*annotations), Path())
    images = {image.path.stem: image for image in truth.images}
    return coco_scores(truth, [images[name] for name in found], list(found.values()), kind)


def test_ground_truth() -> None:
    left_out = {"iscrowd": 1}, {"num_keypoints": 0}, {"bbox": [1, 2, 0, 40]}, {"category_id": 1}
    changes = {}, {"bbox": [1, 2, 30, 40]}, *left_out
    content = dataset(*(annotation(**each) for each in changes))
    truth = parse_ground_truth(content, Path("photos"), "val/coco_")
    assert truth.category == 3
    assert truth.images[0].path == Path("photos/val/coco_seven.jpg")
    assert truth.images[0].person_boxes.tolist() == [[20, 30, 80, 180], [1, 2, 31, 42]]
    assert truth.images[1].person_boxes.shape == (0, 4)
    assert [each["id"] for each in truth.coco.dataset["annotations"]] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("pixels", [0.5, 5, 12, 40])
def test_keypoint_ap_of_one_person_is_oks(pixels: float) -> None:
    points = skeleton()
    moved = points + np.random.default_rng(3).normal(0, pixels, (17, 3))
    found = scores(annotation(), seven=person(moved))
    annotated = points[:, 2] > 0
    distance = ((moved - points)[annotated, :2] ** 2).sum(axis=1)
    oks = np.exp(-distance / (2 * AREA * (2 * SIGMAS[annotated]) ** 2)).mean()
    # With one person, each threshold's precision is 1 up to the person's OKS and 0 above.
    assert found["AP"] == pytest.approx((oks >= np.linspace(0.5, 0.95, 10)).mean())
    assert found["AR75"] == (1 if oks >= 0.75 else 0)


def test_false_positive_of_higher_score_halves_precision() -> None:
    right, wrong = person(skeleton(), 0.8), person(skeleton() + 500, 0.9)
    found = scores(annotation(), seven=right, eight=wrong)
    assert found["AP"] == pytest.approx(0.5)
    assert found["AR"] == pytest.approx(1)
    assert found["APL"] is None


def test_boxes_are_ranked_by_the_detector_alone() -> None:
    """The wrong box has better keypoints, and a lower score of the detector.

    The IoU with the second is 120 of 150 rows, so it counts up to the threshold 0.8.
    """
    right = person(skeleton(), 0.9, box=(20, 30, 80, 180))
    right.keypoints[..., 2] = 0.3
    found = scores(annotation(), kind="bbox", seven=right, eight=person(skeleton(), 0.8))
    assert found["AP"] == pytest.approx(1)
    one = person(skeleton(), 0.1, box=(20, 30, 80, 150))
    found = scores(annotation(), annotation(bbox=[1, 2, 30, 40]), kind="bbox", seven=one)
    assert found["AR100"] == pytest.approx(7 / 10 / 2)
    assert list(found) == list(FIGURES["bbox"])


def test_other_keypoints() -> None:
    """OKS takes their sigmas; without, or with annotations of others, there is no score."""
    points = skeleton()[:3]
    moved = points + np.array([4, 0, 0])
    schema = KeypointSchema(("a", "b", "c"), sigmas=(0.02, 0.05, 0.1))
    truth = annotation(keypoints=points.reshape(-1).tolist(), num_keypoints=3)
    found = replace(person(moved), keypoint_schema=schema)
    oks = np.exp(-16 / (2 * AREA * (2 * np.array(schema.sigmas)) ** 2)).mean()
    assert scores(truth, seven=found)["AP"] == pytest.approx(
        (oks >= np.linspace(0.5, 0.95, 10)).mean()
    )
    with pytest.raises(ToolError, match="need their sigmas"):
        scores(truth, seven=replace(found, keypoint_schema=None))
    with pytest.raises(ToolError, match="have 17 keypoints per person, the model has 3"):
        scores(annotation(), seven=found)


def test_a_category_with_keypoints() -> None:
    content = dataset(annotation(category_id=5))
    content["categories"] = [{"id": 5, "name": "worker", "keypoints": ["a"]}]
    assert parse_ground_truth(content, Path()).category == 5
    content["categories"] *= 2
    with pytest.raises(KeyError, match="not just one has keypoints"):
        parse_ground_truth(content, Path())
