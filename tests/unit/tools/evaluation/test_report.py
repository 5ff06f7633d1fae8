"""The table of evaluations; the JSON report is checked end to end."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tools.evaluation.agreement import Agreement
from tools.evaluation.coco import FIGURES, Kind
from tools.evaluation.report import table

AGREEMENT = Agreement(3, 5, ("b.jpg",), 0.00012, 0.0000015, 0.99567, 10.05, None, 0.0012)


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
    return {
        "triton": "2.51.0",
        "variant": variant,
        "coco": coco,
        "agreement": asdict(AGREEMENT),
        "fast_decode": None,
    }


def test_table_of_two() -> None:
    text = table([evaluation("short", 0.81), evaluation("a_longer_name", 1, flip=True)])
    lines = text.splitlines()
    assert lines[1].split() == ["keypoint", "model", "short", "a_longer_name"]
    assert lines[2].split() == ["options", "-", "flip"]
    first = lines.index("Keypoints in annotated boxes")
    assert lines[first + 2].split() == ["AP", "0.810", "1.000"]
    assert lines[first + 5].split() == ["APM", "-", "-"]
    figures = [line.split()[-1] for line in text.split("PaddleX\n")[1].splitlines()]
    assert " ".join(figures) == "3 1 5 0.0001 0.000002 99.57% 10.050 - 0.0012"
