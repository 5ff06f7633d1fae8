"""The ids in a real video."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tools.errors import ToolError
from tritonpose.pipeline import HumanKeypointPipeline
from tritonpose.tracking.association import box_overlaps

# Truth of real videos has boxes only.
_SAME = 0.5


def follow_video(pipeline: HumanKeypointPipeline, path: Path) -> dict[str, Any]:
    """Track a video, and list the first and the last frame of each id.

    With a file ``truth/NAME.json`` beside it, which has ``people``, their names, and ``frames``, a
    list of the box of each name or null, `people` lists the ids of each of them in their order.
    """
    truth_path = path.parent / "truth" / f"{path.stem}.json"
    try:
        truth = json.loads(truth_path.read_bytes()) if truth_path.exists() else None
    except (OSError, ValueError) as error:
        raise ToolError(f"can't read {truth_path}: {error}") from error
    spans: dict[int, list[int]] = {}
    people: dict[str, list[int]] = {name: [] for name in truth["people"]} if truth else {}
    frames = 0
    for result in pipeline.track(str(path)):
        for identity in result.track_ids:
            if identity is not None:
                spans.setdefault(identity, [frames, frames])[1] = frames
        if truth is not None and frames < len(truth["frames"]):
            found = {name: box for name, box in truth["frames"][frames].items() if box is not None}
            boxes = np.array(list(found.values()), float).reshape(-1, 4)
            overlaps = box_overlaps(boxes, result.arrays.boxes.astype(float))
            for name, row in zip(found, overlaps, strict=True):
                best = int(row.argmax()) if row.size else -1
                number = result.track_ids[best] if row.size and row[best] >= _SAME else None
                if number is not None and people[name][-1:] != [number]:
                    people[name].append(number)
        frames += 1
    return {"video": path.name, "frames": frames, "spans": spans, "people": people}
