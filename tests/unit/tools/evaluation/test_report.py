"""The table of evaluations; the JSON report is checked end to end."""

from __future__ import annotations

from typing import Any

from tools.evaluation.coco import FIGURES, Kind
from tools.evaluation.report import table

AGREEMENT = {
    "images": 3,
    "persons": 5,
    "other_persons": ("b.jpg",),
    "box_px": 0.00012,
    "det_score": 0.0000015,
    "close_share": 0.99567,
    "visible_px": 10.05,
    "clear_px": None,
    "keypoint_score": 0.0012,
}


def scores(kind: Kind, value: float) -> dict[str, float | None]:
    return {name: None if name == "APM" else value for name in FIGURES[kind]}


def evaluation(name: str, value: float, flip: bool = False) -> dict[str, Any]:
    coco = {
        "images": 4,
        "given_persons": 12,
        "given_boxes": scores("keypoints", value),
        "found_persons": 100,
        "found_boxes": scores("keypoints", value / 2),
        "detection": scores("bbox", 1),
    }
    variant = {"detector": "detector", "keypoint_model": name, "flip": flip, "use_udp": None}
    return {"triton": "2.51.0", "variant": variant, "coco": coco, "agreement": AGREEMENT}


def test_table_of_two() -> None:
    text = table([evaluation("short", 0.81), evaluation("a_longer_name", 1, flip=True)])
    lines = text.splitlines()
    assert lines[1].split() == ["keypoint", "model", "short", "a_longer_name"]
    assert lines[2].split() == ["options", "-", "flip"]
    headings = [line for line in lines if line and not line.startswith(" ") and "  " not in line]
    assert headings == [
        "Keypoints in annotated boxes",
        "Keypoints in detected boxes",
        "Person detection",
        "Agreement with PaddleX",
    ]
    first = lines.index("Keypoints in annotated boxes")
    assert lines[first + 2].split() == ["AP", "0.810", "1.000"]
    assert lines[first + 5].split() == ["APM", "-", "-"]
    cells = [line for line in lines if line and line not in headings]
    assert len({len(line) for line in cells}) == 1


def test_agreement_alone() -> None:
    text = table([{**evaluation("keypoints", 1), "coco": None}])
    assert "COCO" not in text
    figures = [line.split()[-1] for line in text.split("PaddleX\n")[1].splitlines()]
    assert figures == [
        *("3", "1", "5"),
        *("0.0001", "0.000002"),
        *("99.57%", "10.050", "-", "0.0012"),
    ]
