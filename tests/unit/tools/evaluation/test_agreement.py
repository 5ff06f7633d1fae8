"""Agreement with PaddleX's results, on differences made by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poses import people
from tools.errors import EvaluationError
from tools.evaluation.agreement import (
    Agreement,
    Differences,
    SavedResult,
    compare,
    load_saved_results,
)
from tritonpose.transport.messages import PoseResponse


def saved(answer: PoseResponse, name: str = "a.jpg") -> dict[str, Any]:
    """What PaddleX would have written for these people."""
    return {
        "input_path": f"some/where/{name}",
        "boxes": [
            {
                "coordinate": answer.boxes[index].tolist(),
                "det_score": float(answer.det_scores[index]),
                "keypoints": answer.keypoints[index].tolist(),
                "kpt_score": float(answer.kpt_scores[index]),
            }
            for index in range(len(answer.boxes))
        ],
    }


def test_equal_results() -> None:
    answer = people(3)
    expected = SavedResult.from_json(saved(answer))
    agreement = Agreement.of([(expected.image, compare(expected, answer))])
    assert agreement == Agreement(
        images=1,
        persons=3,
        other_persons=(),
        box_px=0,
        det_score=0,
        close_share=1,
        visible_px=0,
        clear_px=0,
        keypoint_score=0,
    )


def test_known_differences() -> None:
    answer = people(2)
    keypoints = answer.keypoints.copy()
    keypoints[:, :, 2] = 0.5
    # A noisy, a faint and a clear joint, each off by another distance, in another axis.
    keypoints[0, :3, 2] = 0.09, 0.2, 0.3
    expected = SavedResult.from_json(saved(replace(answer, keypoints=keypoints)))
    moved = keypoints.copy()
    moved[0, 0, 0] += 100
    moved[0, 1, 1] -= 2
    moved[0, 2, :2] += 0.5, 1
    moved[1, 3, 0] += 0.0625
    moved[1, 4, 2] -= 0.25
    actual = replace(
        answer,
        boxes=answer.boxes + np.array([[0, 0, 0, 0], [0, -0.5, 0, 0.25]], np.float32),
        det_scores=answer.det_scores + np.array([0.125, -0.0625], np.float32),
        keypoints=moved,
    )
    differences = compare(expected, actual)
    agreement = Agreement.of([("a.jpg", differences)])
    assert differences is not None
    assert differences.box_px == pytest.approx([0, 0.5], abs=1e-4)
    assert differences.keypoint_px[0, :3] == pytest.approx([100, 2, 1], abs=1e-4)
    assert agreement.box_px == pytest.approx(0.5, abs=1e-4)
    assert agreement.det_score == pytest.approx(0.125, abs=1e-4)
    # Two of the 33 joints that count are farther off than 0.1 px.
    assert agreement.close_share == pytest.approx(31 / 33)
    assert agreement.visible_px == pytest.approx(2, abs=1e-4)
    assert agreement.clear_px == pytest.approx(1, abs=1e-4)
    assert agreement.keypoint_score == pytest.approx(0.25, abs=1e-4)


def test_images_with_other_persons_are_named_and_left_out() -> None:
    first, second = people(2), people(3, seed=1)
    expected = [SavedResult.from_json(saved(first)), SavedResult.from_json(saved(second, "b.jpg"))]
    compared = [(each.image, compare(each, first)) for each in expected]
    agreement = Agreement.of(compared)
    assert agreement.images == 2
    assert agreement.persons == 2
    assert agreement.other_persons == ("b.jpg",)
    assert agreement.box_px == 0


def test_nobody_to_compare() -> None:
    nobody = SavedResult.from_json({"input_path": "a.jpg", "boxes": []})
    agreement = Agreement.of([("a.jpg", compare(nobody, people(0)))])
    assert agreement.persons == 0
    assert agreement.other_persons == ()
    assert agreement.box_px is None
    assert agreement.close_share is None
    # The same without any image that could be compared.
    assert Agreement.of([("a.jpg", compare(nobody, people(1)))]).visible_px is None


def test_join_keeps_the_order() -> None:
    answers = [people(2), people(1, seed=1)]
    parts = []
    for index, answer in enumerate(answers):
        expected = SavedResult.from_json(saved(replace(answer, boxes=answer.boxes + index)))
        part = compare(expected, answer)
        assert part is not None
        parts.append(part)
    assert Differences.join(parts).box_px == pytest.approx([0, 0, 1], abs=1e-4)


def test_load_saved_results(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(json.dumps(saved(people(2), "b.jpg")))
    (tmp_path / "a.json").write_text(json.dumps(saved(people(0), "a.png")))
    results = load_saved_results(tmp_path)
    assert [each.image for each in results] == ["a.png", "b.jpg"]
    assert [each.keypoints.shape for each in results] == [(0, 17, 3), (2, 17, 3)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there are no saved results"),
        ("not JSON", "is not a result saved by PaddleX"),
        ("[1]", "is not a result saved by PaddleX"),
        ('{"input_path": "a.jpg", "boxes": [{"coordinate": [1, 2, 3, 4]}]}', "'det_score'"),
    ],
)
def test_wrong_files(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "a.json").write_text(content)
    with pytest.raises(EvaluationError, match=message):
        load_saved_results(tmp_path)
