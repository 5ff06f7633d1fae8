"""Non-maximum suppression against a plain loop over pairs of boxes."""

import numpy as np
import pytest

from tritonpose_pipeline.detection import nms
from tritonpose_pipeline.repository import NmsSettings

UNIT = (0.0, 0.0, 10.0, 10.0)


def plain_iou(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    overlap = float(max(width, 0)) * float(max(height, 0))
    union = sum(float(max(box[2] - box[0], 0)) * float(max(box[3] - box[1], 0)) for box in (a, b))
    return overlap / (union - overlap) if overlap else 0.0


def plain_nms(boxes: np.ndarray, scores: np.ndarray, settings: NmsSettings) -> list[int]:
    waiting = [i for i in range(len(scores)) if scores[i] > settings.score_threshold]
    waiting.sort(key=lambda i: (-scores[i], i))
    if settings.top_k >= 0:
        waiting = waiting[: settings.top_k]
    kept: list[int] = []
    suppressed: set[int] = set()
    for i in waiting:
        if i in suppressed:
            continue
        kept.append(i)
        suppressed |= {j for j in waiting if plain_iou(boxes[i], boxes[j]) > settings.iou_threshold}
    return kept if settings.keep_top_k < 0 else kept[: settings.keep_top_k]


def run(boxes: list, scores: list, **settings: float) -> list[int]:
    chosen = NmsSettings(**{"score_threshold": 0.1, "iou_threshold": 0.5, **settings})
    boxes_array = np.array(boxes, np.float32).reshape(-1, 4)
    return nms(boxes_array, np.array(scores, np.float32), chosen).tolist()


def random_boxes(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes on a coarse grid: many ties, duplicates, touching and area-less ones."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 12, (count, 2))
    boxes = np.concatenate([corners, corners + rng.integers(0, 8, (count, 2))], axis=1)
    return boxes.astype(np.float32), (rng.integers(0, 20, count) / 20).astype(np.float32)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("iou_threshold", [0.0, 0.2, 0.45, 0.6, 1.0])
@pytest.mark.parametrize(("top_k", "keep_top_k"), [(-1, -1), (30, -1), (-1, 5), (20, 4), (300, 99)])
def test_it_agrees_with_a_plain_loop(
    seed: int, iou_threshold: float, top_k: int, keep_top_k: int
) -> None:
    boxes, scores = random_boxes(seed, 60)
    settings = NmsSettings(0.25, iou_threshold, top_k, keep_top_k)
    assert nms(boxes, scores, settings).tolist() == plain_nms(boxes, scores, settings)
    # And boxes on no grid.
    boxes += np.random.default_rng(seed).uniform(0, 0.5, boxes.shape).astype(np.float32)
    assert nms(boxes, scores, settings).tolist() == plain_nms(boxes, scores, settings)


@pytest.mark.parametrize(
    ("boxes", "scores", "settings", "kept"),
    [
        ([], [], {}, []),
        ([UNIT], [0.1], {"score_threshold": 0.5}, []),
        ([UNIT], [0.5], {"score_threshold": 0.5}, []),  # strictly above
        ([UNIT], [0.75], {"score_threshold": 0.5}, [0]),
        ([UNIT, UNIT], [0.25, 0.75], {}, [1]),
        ([UNIT, UNIT], [0.5, 0.5], {}, [0]),  # a tie: the first one
        ([UNIT, UNIT], [0.5, 0.75], {"iou_threshold": 1.0}, [1, 0]),  # an IoU of 1 isn't above 1
        ([UNIT, (10, 0, 20, 10)], [0.5, 0.75], {"iou_threshold": 0.0}, [1, 0]),  # touching
        ([UNIT, (9, 0, 19, 10)], [0.5, 0.75], {"iou_threshold": 0.0}, [1]),
        # Overlap 5x10 of union 10x10: an IoU of exactly the threshold is kept.
        ([UNIT, (0, 0, 5, 10)], [0.75, 0.5], {"iou_threshold": 0.5}, [0, 1]),
        ([UNIT, (0, 0, 5, 10)], [0.75, 0.5], {"iou_threshold": 0.49}, [0]),
        # The second is suppressed by the first, so that it can't suppress the third.
        ([UNIT, (4, 0, 14, 10), (8, 0, 18, 10)], [0.9, 0.8, 0.7], {"iou_threshold": 0.4}, [0, 2]),
        # Boxes without area overlap nothing, not even themselves.
        ([(5, 5, 5, 5), (5, 5, 5, 5), UNIT], [0.9, 0.8, 0.7], {"iou_threshold": 0.0}, [0, 1, 2]),
        ([(5, 5, 3, 8), UNIT], [0.9, 0.8], {"iou_threshold": 0.0}, [0, 1]),
        # top_k cuts candidates before suppression, keep_top_k afterwards.
        ([UNIT, UNIT, (20, 0, 30, 10)], [0.9, 0.8, 0.7], {"top_k": 2}, [0]),
        ([UNIT, UNIT, (20, 0, 30, 10)], [0.9, 0.8, 0.7], {"keep_top_k": 2}, [0, 2]),
        ([UNIT, UNIT, (20, 0, 30, 10)], [0.9, 0.8, 0.7], {"keep_top_k": 1}, [0]),
        ([UNIT, (20, 0, 30, 10)], [0.9, 0.8], {"top_k": 0}, []),
        # A score that isn't above the threshold doesn't use up top_k.
        ([UNIT, (20, 0, 30, 10)], [0.05, 0.8], {"top_k": 1}, [1]),
    ],
)
def test_known_answers(boxes: list, scores: list, settings: dict, kept: list) -> None:
    assert run(boxes, scores, **settings) == kept


def test_many_ties_keep_their_order() -> None:
    boxes = [(20 * i, 0, 20 * i + 10, 10) for i in range(100)]
    assert run(boxes, [0.5] * 100, keep_top_k=60) == list(range(60))
