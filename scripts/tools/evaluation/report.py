"""Report evaluations as a table and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from tabulate import tabulate

from tools.evaluation.agreement import CLEAR, CLOSE_PX, VISIBLE, Agreement
from tools.evaluation.coco import FIGURES, Kind, Scores
from tools.evaluation.evaluate import CocoFigures, Evaluation
from tools.evaluation.variants import Variant

_NOTHING = "-"

Row = tuple[str, list[str]]
"""A label and one cell per evaluation; a heading has no cells."""

_AGREEMENT_ROWS: tuple[tuple[str, Callable[[Agreement], str]], ...] = (
    ("images", lambda agreement: str(agreement.images)),
    ("images with other people", lambda agreement: str(len(agreement.other_persons))),
    ("people", lambda agreement: str(agreement.persons)),
    ("boxes within, px", lambda agreement: _number(agreement.box_px, 4)),
    ("detector scores within", lambda agreement: _number(agreement.det_score, 6)),
    (
        f"keypoints (score {VISIBLE} up) within {CLOSE_PX} px",
        lambda agreement: _share(agreement.close_share),
    ),
    (f"keypoints (score {VISIBLE} up) within, px", lambda a: _number(a.visible_px, 3)),
    (f"clear keypoints (score {CLEAR} up) within, px", lambda a: _number(a.clear_px, 3)),
    ("keypoint scores within", lambda agreement: _number(agreement.keypoint_score, 4)),
)


def table(evaluations: Sequence[Evaluation]) -> str:
    """Format a plain table, one column per evaluation; all have the same kinds of figures."""
    rows: list[Row] = [
        ("detector", [str(each.variant.detector) for each in evaluations]),
        ("keypoint model", [str(each.variant.keypoint_model) for each in evaluations]),
        ("options", [_options(each.variant) for each in evaluations]),
        ("Triton", [each.triton for each in evaluations]),
    ]
    coco = [each.coco for each in evaluations if each.coco is not None]
    if coco:
        rows += _coco_rows(coco)
    agreements = [each.agreement for each in evaluations if each.agreement is not None]
    if agreements:
        rows.append(("Agreement with PaddleX", []))
        rows += [
            (f"  {label}", [cell(agreement) for agreement in agreements])
            for label, cell in _AGREEMENT_ROWS
        ]
    return _aligned(rows)


def as_json(evaluations: Sequence[Evaluation], tritonpose: str) -> dict[str, Any]:
    """Collect all figures for programs.

    Args:
        evaluations: What to report.
        tritonpose: Version of tritonpose on this side.
    """
    return {"tritonpose": tritonpose, "evaluations": [asdict(each) for each in evaluations]}


def _coco_rows(figures: Sequence[CocoFigures]) -> list[Row]:
    return [
        ("COCO images", [str(each.images) for each in figures]),
        ("Keypoints in annotated boxes", []),
        ("  people", [str(each.given_persons) for each in figures]),
        *_score_rows("keypoints", [each.given_boxes for each in figures]),
        ("Keypoints in detected boxes", []),
        ("  people, at any score", [str(each.found_persons) for each in figures]),
        *_score_rows("keypoints", [each.found_boxes for each in figures]),
        ("Person detection", []),
        *_score_rows("bbox", [each.detection for each in figures]),
    ]


def _score_rows(kind: Kind, scores: Sequence[Scores]) -> list[Row]:
    return [(f"  {name}", [_number(each[name], 3) for each in scores]) for name in FIGURES[kind]]


def _options(variant: Variant) -> str:
    names = [name for name in ("flip", "use_udp") if getattr(variant, name)]
    return ", ".join(names) or _NOTHING


def _number(value: float | None, digits: int) -> str:
    return _NOTHING if value is None else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.2%}"


def _aligned(rows: Sequence[Row]) -> str:
    """Align labels to the left, cells to the right; an empty line comes before each heading."""
    lines: list[list[str]] = []
    for label, cells in rows:
        lines += [[label, *cells]] if cells else [[""], [label]]
    columns = max(map(len, lines))
    alignment = ["left", *["right"] * (columns - 1)]
    filled = [[*line, *[""] * (columns - len(line))] for line in lines]
    text = tabulate(
        filled,
        tablefmt="plain",
        disable_numparse=True,
        colalign=alignment,
        preserve_whitespace=True,
    )
    return "\n".join(line.rstrip() for line in text.splitlines())
