"""Compares a model with the model that it was converted from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph import model_graph
from tritonpose_server.models.paddle.inference_yml import InferenceYml, Normalization
from tritonpose_server.models.paddle.verification_images import verification_images
from tritonpose_server.models.store import Progress

Arrays = list[npt.NDArray[Any]]
FloatArray = npt.NDArray[np.float32]

# Rounding makes two engines differ by up to 1e-5 in heatmaps, 1e-4 in scores and, with weights that
# magnify it, 0.05 px in boxes. The slightest mistakes give far more: an offset of half a pixel, a
# mean of another data set, swapped channels. A hundredth of a score is nobody's threshold.
HEATMAP_TOLERANCE = 1e-3
SCORE_TOLERANCE = 1e-3
BOX_TOLERANCE_PX = 0.2

# Detectors return only what their suppression models: other images are tried until there is enough.
_ENOUGH_ROWS = 20
_MOST_SERIES = 4

# Some exporters fill up with rows of score 0 or less.
_SMALLEST_SCORE = 1e-3


class SourceModel(Protocol):
    """A model before conversion."""

    @property
    def runs_with(self) -> str:
        """What runs it, for messages."""

    def run(self, images: Sequence[FloatArray], progress: Progress) -> list[Arrays]:
        """Run it on normalized float32 ``[1, 3, h, w]`` images and return the outputs of each."""


@dataclass(frozen=True)
class Agreement:
    """How well a model agrees with its source, as the largest differences on some images.

    ``batches`` says whether a batch of different images gives what they give one by one.
    ``heatmap`` is None for detectors; ``box_px`` (edges in network pixels), ``score`` and ``rows``
    (detections compared) are None for keypoint models.
    """

    compared_with: str
    images: int
    batches: bool
    heatmap: float | None = None
    box_px: float | None = None
    score: float | None = None
    rows: int | None = None

    def __str__(self) -> str:
        if self.heatmap is not None:
            differences = f"heatmaps differ by up to {self.heatmap:.2g}"
        else:
            differences = (
                f"boxes differ by up to {self.box_px:.2g} px, scores by up to {self.score:.2g}, "
                f"in {self.rows} detections"
            )
        return f"{differences}, on {self.images} images, compared with {self.compared_with}"


def verify_model(
    model: onnx.ModelProto, yml: InferenceYml, source: SourceModel, progress: Progress
) -> Agreement:
    """Compare a model with its source, with and without batching.

    Keypoint models are compared by their heatmaps. A detector's source ends in non-maximum
    suppression, its model does not: each detection of the source must be among the model's
    candidates, and the model's best candidate must be one that the source returns. ``model`` is as
    `model_graph` makes it. Where batches are wrong, only single images were compared; where these
    differ, or a detector finds nothing to compare, `ConversionError` is raised.
    """
    progress(f"comparing {yml.model_name} with {source.runs_with}")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    is_detector = yml.role == "detector"
    differences: list[_Difference] = []
    batches, rows, tried = True, 0, 0
    for series in range(_MOST_SERIES if is_detector else 1):
        images = verification_images(yml.height, yml.width, series)
        expected = source.run(
            [_normalize(image[None], yml.normalization) for image in images], progress
        )
        singles = [list(session.run(None, {"image": image[None]})) for image in images]
        found = [_compare(*pair, yml) for pair in zip(singles, expected, strict=True)]
        batch = _run_batch(session, images)
        if batch is None or not _equal(batch, singles):
            batches = False
        else:
            found += [_compare(*pair, yml) for pair in zip(batch, expected, strict=True)]
        differences += found
        rows += sum(difference.rows for difference in found[: len(images)])
        tried += len(images)
        if rows >= _ENOUGH_ROWS:
            break
    if is_detector and rows == 0:
        raise ConversionError(
            f"{yml.model_name} can't be compared with {source.runs_with}, which finds nothing on "
            f"{tried} made-up images. Export it with a lower score threshold of its NMS "
            "(PaddleDetection's default is 0.01)"
        )
    heatmap, box_px, score = np.max([d[:3] for d in differences], axis=0).tolist()
    agreement = Agreement(
        compared_with=source.runs_with,
        images=tried,
        batches=batches,
        heatmap=None if is_detector else heatmap,
        box_px=box_px if is_detector else None,
        score=score if is_detector else None,
        rows=rows if is_detector else None,
    )
    # Written so that NaN is refused, too.
    if not (
        heatmap <= HEATMAP_TOLERANCE and box_px <= BOX_TOLERANCE_PX and score <= SCORE_TOLERANCE
    ):
        raise ConversionError(
            f"{yml.model_name} would not be the same after conversion: {agreement} (allowed are "
            f"{HEATMAP_TOLERANCE:g} in heatmaps, {BOX_TOLERANCE_PX:g} px, {SCORE_TOLERANCE:g} in "
            "scores)"
        )
    return agreement


class _Difference(NamedTuple):
    """Largest differences in one image, and how many detections were compared."""

    heatmap: float = 0.0
    box_px: float = 0.0
    score: float = 0.0
    rows: int = 0


def _normalize(pixels: npt.NDArray[np.uint8], normalization: Normalization) -> FloatArray:
    """Normalize like PaddleX: uint8 ``[1, h, w, 3]`` RGB to float32 ``[1, 3, h, w]``."""
    mean = np.array(normalization.mean, np.float32)
    std = np.array(normalization.std, np.float32)
    normalized = (pixels * np.float32(normalization.scale) - mean) / std
    return np.ascontiguousarray(normalized.transpose(0, 3, 1, 2), np.float32)


def _run_batch(
    session: onnxruntime.InferenceSession, images: npt.NDArray[np.uint8]
) -> list[Arrays] | None:
    """Run images as one batch: the outputs of each, None where that fails."""
    try:
        outputs = session.run(None, {"image": images})
    except Exception:  # ONNX Runtime's errors have no public base class
        return None
    if any(len(output) != len(images) for output in outputs):
        return None
    return [[output[i : i + 1] for output in outputs] for i in range(len(images))]


def _equal(batch: list[Arrays], singles: list[Arrays]) -> bool:
    """Whether the images of a batch gave what they give alone, but for rounding.

    A graph exported for batch 1 can hold that size in places that freeing the batch dimension
    does not reach; then only batch 1 is right.
    """
    return all(
        together.shape == alone.shape
        and np.allclose(together, alone, rtol=1e-4, atol=1e-4 * float(np.abs(alone).max()))
        for pair in zip(batch, singles, strict=True)
        for together, alone in zip(*pair, strict=True)
    )


def _compare(outputs: Arrays, expected: Arrays, yml: InferenceYml) -> _Difference:
    """Compare the model's outputs for an image with those of its source."""
    if yml.role == "keypoint":
        (heatmap,) = outputs
        wanted = [
            array
            for array in expected
            if array.shape == heatmap.shape and array.dtype == heatmap.dtype
        ]
        if len(wanted) != 1:
            shapes = ", ".join(str(array.shape) for array in expected)
            raise ConversionError(
                f"{yml.model_name} can't be compared: a heatmap of shape {heatmap.shape} was "
                f"expected, the model's outputs have {shapes}"
            )
        return _Difference(heatmap=float(np.abs(heatmap - wanted[0]).max()))
    tables = [array for array in expected if array.ndim == 2 and array.shape[1] == 6]
    if len(tables) != 1:
        shapes = ", ".join(str(array.shape) for array in expected)
        raise ConversionError(
            f"{yml.model_name} can't be compared: detections of shape (n, 6) were expected, the "
            f"model's outputs have {shapes}"
        )
    rows = tables[0]
    rows = rows[rows[:, 1] >= _SMALLEST_SCORE]
    found = [
        _compare_detections(outputs[0][0], scores, rows[rows[:, 0] == index])
        for index, scores in zip(
            model_graph.counted_classes(yml, None), np.atleast_2d(outputs[1][0]), strict=True
        )
    ]
    heatmap, box_px, score = np.max([difference[:3] for difference in found], axis=0).tolist()
    return _Difference(heatmap, box_px, score, sum(difference.rows for difference in found))


def _compare_detections(boxes: FloatArray, scores: FloatArray, rows: FloatArray) -> _Difference:
    """Find each detection of the source among the model's candidates.

    ``boxes`` ``[A, 4]`` are x1, y1, x2, y2 in network pixels, ``scores`` ``[A]``, ``rows`` the
    source's detections ``[n, 6]``: class, score, box.
    """
    if len(rows) == 0:
        return _Difference()
    box_px = np.abs(rows[:, None, 2:] - boxes[None]).max(axis=2)
    score = np.abs(rows[:, None, 1] - scores[None])
    nearest = np.argmin(np.maximum(box_px / BOX_TOLERANCE_PX, score / SCORE_TOLERANCE), axis=1)
    found = np.arange(len(rows))
    # Nothing suppresses the best candidate: a better one than the source has is one too many.
    best = np.abs(scores.max() - rows[:, 1].max())
    return _Difference(
        box_px=float(box_px[found, nearest].max()),
        score=float(np.maximum(score[found, nearest].max(), best)),
        rows=len(rows),
    )
