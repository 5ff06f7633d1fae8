"""Images with given numbers of people and pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from poses import people
from tools.benchmark.workload import (
    QUICK,
    Sample,
    countable,
    find_images,
    make_workload,
    nth_score,
    threshold_for,
)
from tools.errors import ToolError
from tritonpose.transport.messages import PoseResponse

SCORES = np.array([0.9, 0.8, 0.7999, 0.3], np.float32)


@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_threshold_selects_a_number_of_people(count: int) -> None:
    threshold = threshold_for(SCORES, count)
    assert threshold is not None
    assert np.count_nonzero(threshold < SCORES) == count


@pytest.mark.parametrize("count", [2, 5])
def test_too_near_or_too_many(count: int) -> None:
    assert threshold_for(SCORES, count) is None


def test_the_surest_crowd_is_chosen() -> None:
    counts = (0, 1, 3, 9)
    few, many = SCORES, np.linspace(0.9, 0.1, 12, dtype=np.float32)
    sure = np.linspace(0.9, 0.5, 12, dtype=np.float32)
    assert countable(few, counts) < countable(many, counts) < countable(sure, counts)
    assert nth_score(few, 4) == pytest.approx(0.3)
    assert nth_score(few, 5) == nth_score(few, 0) == 0


def test_finding_images(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.PNG", "sub/c.webp", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_images([tmp_path, tmp_path / "b.jpg"], 50)
    assert [path.name for path in found] == ["a.PNG", "b.jpg", "c.webp", "b.jpg"]
    assert [path.name for path in find_images([tmp_path], 2)] == ["a.PNG", "c.webp"]
    with pytest.raises(ToolError, match=r"no images .* in .*notes\.txt"):
        find_images([tmp_path / "notes.txt"], 50)


def test_making_all_of_it(tmp_path: Path) -> None:
    """Photo b has two sure people, photo a a crowd of twelve."""
    sizes = {"a": (300, 200), "b": (200, 300)}
    for name, (width, height) in sizes.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((height, width, 3), 90, np.uint8))
    found = {"a": people(12), "b": people(4)}
    scores = {"a": np.linspace(0.6, 0.1, 12), "b": np.array([0.9, 0.8, 0.2, 0.1])}

    def answer(sample: Sample) -> PoseResponse:
        name = sample.path.stem[0]
        threshold = 0.5 if sample.det_threshold is None else sample.det_threshold
        kept = scores[name] > threshold
        everyone = replace(found[name], det_scores=scores[name].astype(np.float32))
        return PoseResponse(
            everyone.boxes[kept],
            everyone.det_scores[kept],
            everyone.keypoints[kept],
            everyone.kpt_scores[kept],
        )

    plan = replace(QUICK, persons=(0, 1, 9, 30), megapixels=(0.01, 0.5))
    workload = make_workload([tmp_path / "a.png", tmp_path / "b.png"], plan, answer, tmp_path)
    assert [sample.path.name for sample in workload.photos] == ["a.png", "b.png"]
    # 30 people can't be selected.
    assert list(workload.persons) == ["0", "1", "9"]
    for count, sample in workload.persons.items():
        assert sample.path.name == "a.png"
        assert len(answer(sample).boxes) == int(count)
    assert list(workload.sizes) == ["0.01 MP", "0.5 MP"]
    for label, sample in workload.sizes.items():
        height, width = cv2.imread(str(sample.path)).shape[:2]
        assert height * width == pytest.approx(float(label.split()[0]) * 1e6, rel=0.02)
        assert height / width == pytest.approx(1.5, rel=0.02)
        assert len(answer(sample).boxes) == 2
    assert workload.scene.path.name == "a.png"
    assert workload.scene.keypoints.shape == (9, 17, 3)
