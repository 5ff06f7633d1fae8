"""Compares a model with the model that it was converted from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph import onnx_graph
from tritonpose_server.models.graph.classes import counted_classes
from tritonpose_server.models.graph.raw_heads import RawHeads, require_meaning
from tritonpose_server.models.paddle.inference_yml import InferenceYml, Normalization
from tritonpose_server.models.paddle.verification_images import verification_images
from tritonpose_server.models.store import Progress

Arrays = list[npt.NDArray[Any]]
FloatArray = npt.NDArray[np.float32]


class Tolerance(NamedTuple):
    """How far a model may be from its source: heatmaps, scores, box edges in network pixels.

    ``batch`` is how far, relative to the greatest value, an image in a batch may be from the same
    one alone.
    """

    heatmap: float
    score: float
    box_px: float
    batch: float


# Rounding makes two engines differ by up to 1e-5 in heatmaps, 1e-4 in scores and, with weights that
# magnify it, 0.05 px in boxes. The slightest mistakes give far more: an offset of half a pixel, a
# mean of another data set, swapped channels. A hundredth of a score is nobody's threshold.
# Networks that compute in less than FP32 round their own numbers, which differs between engines and
# between batches, and edges at 320 pixels have steps of 0.25 in FP16.
TOLERANCES: Mapping[onnx_graph.Precision, Tolerance] = {
    "fp32": Tolerance(1e-3, 1e-3, 0.2, 1e-4),
    "fp16": Tolerance(0.02, 0.02, 2.0, 0.02),
    "int8": Tolerance(0.04, 0.04, 4.0, 0.04),
}

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
    model: onnx.ModelProto,
    yml: InferenceYml,
    source: SourceModel,
    progress: Progress,
    *,
    classes: tuple[int, ...] | None = None,
    raw: RawHeads | None = None,
) -> Agreement:
    """Compare a model with its source, with and without batching.

    Keypoint models are compared by their heatmaps. A detector's source ends in non-maximum
    suppression, its model does not: each detection of the source must be among the model's
    candidates, and the model's best candidate must be one that the source returns. ``classes`` are
    the ids of what the model scores, by default what ``yml`` says. A source without suppression,
    whose outputs ``raw`` tells, must give the same candidates. Where batches are wrong, only single
    images were compared; where these differ, or a detector finds nothing to compare,
    `ConversionError` is raised.
    """
    progress(f"comparing {yml.model_name} with {source.runs_with}")
    session = onnx_graph.open_session(model)
    tolerance = TOLERANCES[onnx_graph.precision(model)]
    if classes is None and yml.role == "detector":
        classes = counted_classes(yml, None)
    compare = _Comparison(yml, classes or (), raw, tolerance)
    is_detector = yml.role == "detector"
    differences: list[_Difference] = []
    batches, rows, tried = True, 0, 0
    for series in range(_MOST_SERIES if is_detector else 1):
        images = verification_images(yml.height, yml.width, series)
        expected = source.run(
            [_normalize(image[None], yml.normalization) for image in images], progress
        )
        singles = [_run_alone(session, image) for image in images]
        found = [compare(*pair) for pair in zip(singles, expected, strict=True)]
        batch = _run_batch(session, images)
        if batch is None or not _equal(batch, singles, tolerance.batch):
            batches = False
        else:
            found += [compare(*pair) for pair in zip(batch, expected, strict=True)]
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
        heatmap <= tolerance.heatmap and box_px <= tolerance.box_px and score <= tolerance.score
    ):
        raise ConversionError(
            f"{yml.model_name} would not be the same after conversion: {agreement} (allowed are "
            f"{tolerance.heatmap:g} in heatmaps, {tolerance.box_px:g} px, {tolerance.score:g} in "
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


def _run_alone(session: onnxruntime.InferenceSession, image: npt.NDArray[np.uint8]) -> Arrays:
    try:
        return list(session.run(None, {"image": image[None]}))
    except Exception as error:  # ONNX Runtime's errors have no public base class
        raise ConversionError(
            "the network can't take a single image: it was exported for a fixed number of images, "
            f"which stands in its nodes. Export it with an open batch, or batch 1 ({error})"
        ) from error


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


def _equal(batch: list[Arrays], singles: list[Arrays], tolerance: float) -> bool:
    """Whether the images of a batch gave what they give alone, but for rounding.

    A graph exported for batch 1 can hold that size in places that freeing the batch dimension
    does not reach; then only batch 1 is right.
    """
    return all(
        together.shape == alone.shape
        and np.allclose(
            together, alone, rtol=tolerance, atol=tolerance * float(np.abs(alone).max())
        )
        for pair in zip(batch, singles, strict=True)
        for together, alone in zip(*pair, strict=True)
    )


@dataclass(frozen=True)
class _Comparison:
    """Compares a model's outputs for an image with those of its source."""

    yml: InferenceYml
    classes: tuple[int, ...]
    raw: RawHeads | None
    tolerance: Tolerance

    def __call__(self, outputs: Arrays, expected: Arrays) -> _Difference:
        if self.yml.role == "keypoint":
            return self._compare_heatmaps(outputs[0], expected)
        boxes, scores = outputs[0][0], np.atleast_2d(outputs[1][0])
        if self.raw is None:
            return self._compare_detections(boxes, scores, expected)
        candidates, likely = self.raw.read(expected)
        require_meaning(candidates, likely)
        return _Difference(
            box_px=float(np.abs(boxes - candidates).max()),
            score=float(np.abs(scores - likely[list(self.classes)]).max()),
            rows=len(boxes),
        )

    def _compare_heatmaps(self, heatmap: FloatArray, expected: Arrays) -> _Difference:
        wanted = [
            array
            for array in expected
            if array.shape == heatmap.shape and np.issubdtype(array.dtype, np.floating)
        ]
        if len(wanted) != 1:
            raise self._other_outputs(f"a heatmap of shape {heatmap.shape} was", expected)
        return _Difference(heatmap=float(np.abs(heatmap - wanted[0]).max()))

    def _compare_detections(
        self, boxes: FloatArray, scores: FloatArray, expected: Arrays
    ) -> _Difference:
        tables = [array for array in expected if array.ndim == 2 and array.shape[1] == 6]
        if len(tables) != 1:
            raise self._other_outputs("detections of shape (n, 6) were", expected)
        rows = tables[0]
        rows = rows[rows[:, 1] >= _SMALLEST_SCORE]
        found = [
            self._find_candidates(boxes, of_class, rows[rows[:, 0] == class_id])
            for class_id, of_class in zip(self.classes, scores, strict=True)
        ]
        box_px, score = np.max([difference[1:3] for difference in found], axis=0).tolist()
        return _Difference(box_px=box_px, score=score, rows=sum(each.rows for each in found))

    def _find_candidates(
        self, boxes: FloatArray, scores: FloatArray, rows: FloatArray
    ) -> _Difference:
        """Find each detection of the source among the model's candidates of its class.

        ``boxes`` ``[A, 4]`` are x1, y1, x2, y2 in network pixels, ``scores`` ``[A]``, ``rows`` the
        source's detections ``[n, 6]``: class, score, box.
        """
        if len(rows) == 0:
            return _Difference()
        box_px = np.abs(rows[:, None, 2:] - boxes[None]).max(axis=2)
        score = np.abs(rows[:, None, 1] - scores[None])
        nearest = np.argmin(
            np.maximum(box_px / self.tolerance.box_px, score / self.tolerance.score), axis=1
        )
        found = np.arange(len(rows))
        # Nothing suppresses the best candidate: a better one than the source has is one too many.
        best = np.abs(scores.max() - rows[:, 1].max())
        return _Difference(
            box_px=float(box_px[found, nearest].max()),
            score=float(np.maximum(score[found, nearest].max(), best)),
            rows=len(rows),
        )

    def _other_outputs(self, expected: str, found: Arrays) -> ConversionError:
        shapes = ", ".join(str(array.shape) for array in found)
        return ConversionError(
            f"{self.yml.model_name} can't be compared: {expected} expected, the model's outputs "
            f"have {shapes}"
        )
