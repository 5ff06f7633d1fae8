"""Report evaluations as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import getitem
from typing import Any

from tabulate import tabulate

from tools.evaluation.agreement import CLEAR, CLOSE_PX, VISIBLE
from tools.evaluation.coco import FIGURES, Kind
from tools.evaluation.fast_decode import CLOSE

_Rows = Sequence[tuple[str, str, str]]
"""Label, name and format of a figure, the name behind its group's; a heading has no name."""

_NOTHING = "-"


def _scores(kind: Kind, group: str) -> _Rows:
    return [(f"  {name}", f"{group} {name}", ".3f") for name in FIGURES[kind]]


_COCO: _Rows = (
    ("COCO images", "images", ""),
    ("Keypoints in annotated boxes", "", ""),
    ("  people", "given_persons", ""),
    *_scores("keypoints", "given_boxes"),
    ("Keypoints in detected boxes", "", ""),
    ("  people, at any score", "found_persons", ""),
    *_scores("keypoints", "found_boxes"),
    ("Person detection", "", ""),
    *_scores("bbox", "detection"),
)

_AGREEMENT: _Rows = (
    ("Agreement with PaddleX", "", ""),
    ("  images", "images", ""),
    ("  images with other people", "other_persons", ""),
    ("  people", "persons", ""),
    ("  boxes within, px", "box_px", ".4f"),
    ("  detector scores within", "det_score", ".6f"),
    (f"  keypoints (score {VISIBLE} up) within {CLOSE_PX} px", "close_share", ".2%"),
    (f"  keypoints (score {VISIBLE} up) within, px", "visible_px", ".3f"),
    (f"  clear keypoints (score {CLEAR} up) within, px", "clear_px", ".3f"),
    ("  keypoint scores within", "keypoint_score", ".4f"),
)

_FAST_DECODE: _Rows = (
    ("Fast decoding, compared with full decoding", "", ""),
    ("  JPEGs", "images", ""),
    ("  JPEGs with the same bits", "unchanged", ""),
    ("  people of full decoding", "persons", ""),
    ("  of these not found", "lost", ""),
    ("  others found", "added", ""),
    ("  OKS, mean", "oks", ".4f"),
    ("  OKS, 5th percentile", "oks_low", ".4f"),
    (f"  people within OKS {CLOSE}", "close_share", ".2%"),
)


def table(evaluations: Sequence[Mapping[str, Any]]) -> str:
    """Format a plain table, one column per evaluation; all have the same kinds of figures."""
    variants = [each["variant"] for each in evaluations]
    lines = [
        ["detector", *(variant["detector"] for variant in variants)],
        ["keypoint model", *(variant["keypoint_model"] for variant in variants)],
        ["options", *map(_options, variants)],
        ["Triton", *(each["triton"] for each in evaluations)],
    ]
    for kind, rows in (("coco", _COCO), ("agreement", _AGREEMENT), ("fast_decode", _FAST_DECODE)):
        columns = [each[kind] for each in evaluations if each[kind] is not None]
        lines += _lines(rows, columns) if columns else []
    return plain_table([[*line, *[""] * (1 + len(evaluations) - len(line))] for line in lines])


def plain_table(lines: Sequence[Sequence[str]]) -> str:
    """Format lines of as many cells each: the first at the left, the others at the right."""
    text = tabulate(
        lines,
        tablefmt="plain",
        disable_numparse=True,
        colalign=["left", *["right"] * (len(lines[0]) - 1)],
        preserve_whitespace=True,
    )
    return "\n".join(line.rstrip() for line in text.splitlines())


def _lines(rows: _Rows, columns: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Format figures, with an empty line before each heading."""
    lines = []
    for label, name, form in rows:
        path = name.split()
        cells = [_cell(reduce(getitem, path, each), form) for each in columns] if path else []
        lines += [[label, *cells]] if cells else [[""], [label]]
    return lines


def _cell(value: Any, form: str) -> str:
    if value is None:
        return _NOTHING
    return str(len(value)) if isinstance(value, (list, tuple)) else format(value, form)


def _options(variant: Mapping[str, Any]) -> str:
    return ", ".join(name for name in ("flip", "use_udp") if variant[name]) or _NOTHING
