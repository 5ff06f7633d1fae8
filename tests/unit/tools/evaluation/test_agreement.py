"""Agreement with PaddleX's results, on differences made by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poses import people
from tools.answers import SAVED_KEYS
from tools.errors import ToolError
from tools.evaluation.agreement import Agreement, Differences, load_saved_results
from tritonpose.transport.messages import PoseResponse


def saved(answer: PoseResponse, name: str = "a.jpg") -> dict[str, Any]:
    """The content of the file that PaddleX would write for these people."""
    columns = answer.boxes, answer.det_scores, answer.keypoints, answer.kpt_scores
    people = zip(*(column.tolist() for column in columns), strict=True)
    boxes = [dict(zip(SAVED_KEYS, person, strict=True)) for person in people]
    return {"input_path": f"some/where/{name}", "boxes": boxes}


def test_known_differences() -> None:
    answer = people(2)
    keypoints = answer.keypoints.copy()
    keypoints[:, :, 2] = 0.5
    # A noisy, a faint and a clear joint, each off by another distance, in another axis.
    keypoints[0, :3, 2] = 0.09, 0.2, 0.3
    expected = replace(answer, keypoints=keypoints)
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
    differences = Differences.between([(expected, actual)])
    agreement = Agreement.of([("a.jpg", expected, actual)])
    assert differences.box_px == pytest.approx([0, 0.5], abs=1e-4)
    assert differences.keypoint_px[0, :3] == pytest.approx([100, 2, 1], abs=1e-4)
    assert agreement.box_px == pytest.approx(0.5, abs=1e-4)
    assert agreement.det_score == pytest.approx(0.125, abs=1e-4)
    # Two of the 33 joints that count differ by more than 0.1 px.
    assert agreement.close_share == pytest.approx(31 / 33)
    assert agreement.visible_px == pytest.approx(2, abs=1e-4)
    assert agreement.clear_px == pytest.approx(1, abs=1e-4)
    assert agreement.keypoint_score == pytest.approx(0.25, abs=1e-4)


def test_images_with_other_people_are_named_and_left_out() -> None:
    first = people(2)
    agreement = Agreement.of([("a.jpg", first, first), ("b.jpg", people(3), first)])
    assert (agreement.images, agreement.persons, agreement.other_persons) == (2, 2, ("b.jpg",))
    assert agreement.box_px == 0
    nobody = Agreement.of([("a.jpg", people(0), people(1))])
    assert nobody.box_px is nobody.close_share is nobody.visible_px is None


def test_load_saved_results(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(json.dumps(saved(people(2), "b.jpg")))
    (tmp_path / "a.json").write_text(json.dumps(saved(people(0), "a.png")))
    results = load_saved_results(tmp_path)
    assert list(results) == ["a.png", "b.jpg"]
    assert results["a.png"].keypoints.shape == (0, 17, 3)
    # float32 survives the decimal digits of the file.
    agreement = Agreement.of([("b.jpg", results["b.jpg"], people(2))])
    assert agreement.box_px == agreement.visible_px == agreement.keypoint_score == 0
    person = {"coordinate": [1, 2, 3, 4]}
    (tmp_path / "c.json").write_text(json.dumps({"input_path": "c.jpg", "boxes": [person]}))
    with pytest.raises(ToolError, match="KeyError"):
        load_saved_results(tmp_path)
