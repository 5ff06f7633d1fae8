"""Evaluate one variant on a running server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from tools.errors import EvaluationError
from tools.evaluation.agreement import Agreement, compare
from tools.evaluation.coco import (
    CocoImage,
    GroundTruth,
    Scores,
    box_results,
    coco_scores,
    keypoint_results,
)
from tools.evaluation.server_facts import ServerFacts
from tools.evaluation.variants import Variant
from tritonpose.errors import InvalidRequestError
from tritonpose.transport import Transport
from tritonpose.transport.messages import PoseResponse

_IN_FLIGHT = 8

# COCO's evaluation ranks all detections by score: a threshold would cut recall off.
_ALL_PEOPLE = 0.0


@dataclass(frozen=True)
class CocoFigures:
    """Scores against COCO annotations.

    Attributes:
        images: Number of images.
        given_persons: Number of annotated boxes sent.
        given_boxes: Keypoint scores with annotated boxes: of the keypoint model alone.
        found_persons: Number of people that the detector found, at any score.
        found_boxes: Keypoint scores with the detector's boxes: of the whole pipeline.
        detection: Scores of the detector's boxes.
    """

    images: int
    given_persons: int
    given_boxes: Scores
    found_persons: int
    found_boxes: Scores
    detection: Scores


@dataclass(frozen=True)
class Evaluation:
    """The quality of one variant.

    Attributes:
        triton: Version of the server.
        variant: What was evaluated, the server's defaults filled in.
        coco: Scores against COCO annotations, if there were any.
        agreement: Agreement with PaddleX's results, if there were any.
    """

    triton: str
    variant: Variant
    coco: CocoFigures | None
    agreement: Agreement | None


@dataclass(frozen=True, eq=False)
class References:
    """What answers are compared with; at least one of `truth` and `saved`.

    Attributes:
        truth: COCO annotations.
        saved: PaddleX's results by the images' names.
        images: Directory of the images of `saved`.
        det_threshold: Threshold of `saved`, None for the server's default.
    """

    truth: GroundTruth | None
    saved: Mapping[str, PoseResponse] | None
    images: Path
    det_threshold: float | None


def evaluate(
    transport: Transport, server: ServerFacts, variant: Variant, references: References
) -> Evaluation:
    """Send all images through a server and score its answers.

    Raises:
        EvaluationError: An image can't be read or decoded.
        TritonPoseError: The server refuses a request or fails.
    """
    resolved = server.resolve(variant)

    def infer(job: _Job) -> PoseResponse:
        try:
            image = job.path.read_bytes()
        except OSError as error:
            raise EvaluationError(f"can't read {job.path}: {error.strerror}") from error
        try:
            return transport.infer(resolved.request(image, job.det_threshold, job.person_boxes))
        except InvalidRequestError as error:
            raise EvaluationError(f"{job.path}: {error}") from error

    def infer_all(label: str, jobs: Sequence[_Job]) -> list[PoseResponse]:
        with ThreadPoolExecutor(_IN_FLIGHT) as pool:
            answers = pool.map(infer, jobs)
            return list(
                tqdm(answers, label, total=len(jobs), unit=" images", leave=False, disable=None)
            )

    truth, saved = references.truth, references.saved
    return Evaluation(
        triton=server.version,
        variant=resolved,
        coco=None if truth is None else _coco_figures(infer_all, truth),
        agreement=None if saved is None else _agreement(infer_all, references, saved),
    )


@dataclass(frozen=True, eq=False)
class _Job:
    """One image to send; see `InferRequest`."""

    path: Path
    det_threshold: float | None = None
    person_boxes: npt.NDArray[np.float32] | None = None


# Given a label of the progress bar and jobs, gives the answers in the same order.
_InferAll = Callable[[str, Sequence[_Job]], list[PoseResponse]]


def _coco_figures(infer_all: _InferAll, truth: GroundTruth) -> CocoFigures:
    annotated = [image for image in truth.images if len(image.person_boxes)]
    given = infer_all(
        "annotated boxes",
        [_Job(image.path, person_boxes=image.person_boxes) for image in annotated],
    )
    found = infer_all("detected boxes", [_Job(image.path, _ALL_PEOPLE) for image in truth.images])
    given_results = _results(keypoint_results, truth, annotated, given)
    found_results = _results(keypoint_results, truth, truth.images, found)
    boxes = _results(box_results, truth, truth.images, found)
    return CocoFigures(
        images=len(truth.images),
        given_persons=len(given_results),
        given_boxes=coco_scores(truth, given_results, "keypoints"),
        found_persons=len(boxes),
        found_boxes=coco_scores(truth, found_results, "keypoints"),
        detection=coco_scores(truth, boxes, "bbox"),
    )


def _results(
    convert: Callable[[int, int, PoseResponse], list[dict[str, Any]]],
    truth: GroundTruth,
    images: Sequence[CocoImage],
    answers: Sequence[PoseResponse],
) -> list[dict[str, Any]]:
    """Convert the answers for some images to COCO results."""
    return [
        result
        for image, people in zip(images, answers, strict=True)
        for result in convert(image.identifier, truth.category, people)
    ]


def _agreement(
    infer_all: _InferAll, references: References, saved: Mapping[str, PoseResponse]
) -> Agreement:
    jobs = [_Job(references.images / name, references.det_threshold) for name in saved]
    answers = infer_all("PaddleX's results", jobs)
    return Agreement.of(
        [
            (name, compare(expected, actual))
            for (name, expected), actual in zip(saved.items(), answers, strict=True)
        ]
    )
