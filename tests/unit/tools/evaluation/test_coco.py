"""COCO annotations, results and scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from poses import people
from tools.errors import ToolError
from tools.evaluation.coco import FIGURES, Kind, coco_scores, load_ground_truth, parse_ground_truth
from tritonpose.export import person_scores
from tritonpose.transport.messages import PoseResponse

# From the definition of the keypoint challenge, https://cocodataset.org/#keypoints-eval
SIGMAS = np.array(
    [
        *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
        *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    ]
)
THRESHOLDS = np.linspace(0.5, 0.95, 10)
AREA = 9000.0


def skeleton() -> npt.NDArray[np.float64]:
    """A person's annotation, ``[17, 3]``: a grid of joints, two of them not annotated."""
    index = np.arange(17)
    points = np.empty((17, 3))
    points[:, 0] = 30 + 10 * (index % 4)
    points[:, 1] = 40 + 15 * (index // 4)
    points[:, 2] = 2
    points[3, 2] = 1
    points[[5, 9]] = 0
    return points


def annotation(image: int = 7, **changes: Any) -> dict[str, Any]:
    content = {
        "id": 0,
        "image_id": image,
        "category_id": 3,
        "bbox": [20, 30, 60, 150],
        "area": AREA,
        "iscrowd": 0,
        "keypoints": skeleton().reshape(-1).tolist(),
        "num_keypoints": 15,
    }
    return {**content, **changes}


def dataset(*annotations: dict[str, Any]) -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "seven.jpg"}, {"id": 8, "file_name": "eight.jpg"}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 3, "name": "person"}],
        "annotations": list(annotations),
    }


def scores(
    *annotations: dict[str, Any], kind: Kind = "keypoints", **found: PoseResponse
) -> dict[str, float | None]:
    """Score what was found in the images ``seven`` and ``eight``."""
    truth = parse_ground_truth(dataset(*annotations), Path())
    images = {image.path.stem: image for image in truth.images}
    return coco_scores(truth, [images[name] for name in found], list(found.values()), kind)


def person(
    points: npt.NDArray[np.float64], score: float = 0.9, box: Sequence[float] = (1, 2, 3, 4)
) -> PoseResponse:
    """One person, all of whose keypoints are certain: the detector's score ranks it."""
    keypoints = points[None].astype(np.float32)
    keypoints[..., 2] = 1
    scores = np.array([score], np.float32)
    return PoseResponse(np.array([box], np.float32), scores, keypoints, scores)


def test_ground_truth() -> None:
    truth = parse_ground_truth(
        dataset(
            annotation(),
            annotation(bbox=[1, 2, 30, 40]),
            annotation(iscrowd=1),
            annotation(num_keypoints=0),
            annotation(bbox=[1, 2, 0, 40]),
            annotation(category_id=1),
        ),
        Path("photos"),
        "val/coco_",
    )
    assert truth.category == 3
    assert [image.identifier for image in truth.images] == [7, 8]
    assert truth.images[0].path == Path("photos/val/coco_seven.jpg")
    assert truth.images[0].person_boxes.tolist() == [[20, 30, 80, 180], [1, 2, 31, 42]]
    assert truth.images[0].person_boxes.dtype == np.float32
    assert truth.images[1].person_boxes.shape == (0, 4)
    assert [each["id"] for each in truth.coco.dataset["annotations"]] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("nonsense", "can't read the annotations"),
        ("[]", "no COCO keypoint annotations"),
        ('{"images": []}', "'categories'"),
        ('{"categories": [], "annotations": [], "images": []}', "no category is called 'person'"),
        (json.dumps(dataset({"category_id": 3, "image_id": 7})), "'bbox'"),
        (json.dumps(dataset(annotation())), "2 of 2 annotated images are missing, the first is"),
    ],
)
def test_wrong_annotations(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "annotations.json"
    path.write_text(content)
    with pytest.raises(ToolError, match=message) as error:
        load_ground_truth(path, tmp_path)
    assert "\n" not in str(error.value)


def test_person_scores() -> None:
    keypoint_scores = np.array([[0.2, 0.4, 0.6], [0.1, 0.2, 0.0], [1, 1, 1]], np.float32)
    scores = person_scores(keypoint_scores, np.array([0.5, 0.5, 1], np.float32))
    # The mean of 0.4 and 0.6 times 0.5; no confident keypoint; all confident.
    assert scores == pytest.approx([0.25, 0, 1])


@pytest.mark.parametrize("pixels", [0.5, 2, 5, 8, 12, 40])
def test_keypoint_ap_of_one_person_is_oks(pixels: float) -> None:
    points = skeleton()
    moved = points + np.random.default_rng(3).normal(0, pixels, (17, 3))
    found = scores(annotation(), seven=person(moved))
    annotated = points[:, 2] > 0
    distance = ((moved - points)[annotated, :2] ** 2).sum(axis=1)
    oks = np.exp(-distance / (2 * AREA * (2 * SIGMAS[annotated]) ** 2)).mean()
    # With one person, each threshold's precision is 1 up to the person's OKS and 0 above.
    assert found["AP"] == pytest.approx((oks >= THRESHOLDS).mean())
    assert found["AR75"] == (1 if oks >= 0.75 else 0)


def test_false_positive_of_higher_score_halves_precision() -> None:
    right, wrong = person(skeleton(), 0.8), person(skeleton() + 500, 0.9)
    found = scores(annotation(), seven=right, eight=wrong)
    assert found["AP"] == pytest.approx(0.5)
    assert found["AR"] == pytest.approx(1)
    assert found["APL"] is None
    assert list(found) == list(FIGURES["keypoints"])


def test_box_scores() -> None:
    # IoU with the first person: 120 of 150 rows, so it counts up to the threshold 0.8.
    one = person(skeleton(), 0.1, box=(20, 30, 80, 150))
    found = scores(annotation(), annotation(bbox=[1, 2, 30, 40]), kind="bbox", seven=one)
    assert found["AR100"] == pytest.approx(7 / 10 / 2)
    assert list(found) == list(FIGURES["bbox"])


def test_boxes_are_ranked_by_the_detector_alone() -> None:
    """The wrong box has better keypoints, and a lower score of the detector."""
    right = person(skeleton(), 0.9, box=(20, 30, 80, 180))
    right.keypoints[..., 2] = 0.3
    found = scores(annotation(), kind="bbox", seven=right, eight=person(skeleton(), 0.8))
    assert found["AP"] == pytest.approx(1)


@pytest.mark.parametrize("kind", ["keypoints", "bbox"])
def test_nobody_found(kind: Kind) -> None:
    assert scores(annotation(), kind=kind, seven=people(0))["AP"] == 0
