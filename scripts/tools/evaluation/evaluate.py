"""Evaluate one variant on a running server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tools.errors import ToolError
from tools.evaluation.agreement import Agreement
from tools.evaluation.coco import GroundTruth, coco_scores
from tools.evaluation.fast_decode import DecodeEffect
from tools.evaluation.server_facts import ServerFacts
from tools.evaluation.variants import Variant
from tritonpose.errors import InvalidRequestError
from tritonpose.transport import Transport
from tritonpose.transport.messages import PoseResponse
from tritonpose_pipeline.thresholds import Threshold

_IN_FLIGHT = 8

# COCO's evaluation ranks all detections by score: a threshold would cut recall off.
_ALL_PEOPLE = 0.0

# A file and the arguments of `Variant.request` for it.
_Job = tuple[Path, Mapping[str, Any]]

# Given a label of the progress bar and jobs, gives the answers in the same order.
_InferAll = Callable[[str, Sequence[_Job]], list[PoseResponse]]


@dataclass(frozen=True, eq=False)
class References:
    """COCO annotations, PaddleX's results by the images' names, JPEGs to decode in two ways.

    `images` is the directory of the images of `saved`, `det_threshold` the threshold of these, None
    for the server's default.
    """

    truth: GroundTruth | None
    saved: Mapping[str, PoseResponse] | None
    images: Path
    det_threshold: Threshold | None
    jpegs: Sequence[Path] | None = None


def evaluate(
    transport: Transport, server: ServerFacts, variant: Variant, references: References
) -> dict[str, Any]:
    """Send all images through a server and score its answers, for the report.

    ``coco``, ``agreement`` or ``fast_decode`` is None where there is nothing to compare with.
    """
    resolved = server.resolve(variant)

    def infer(job: _Job) -> PoseResponse:
        path, options = job
        try:
            image = path.read_bytes()
        except OSError as error:
            raise ToolError(f"can't read {path}: {error.strerror}") from error
        try:
            return transport.infer(resolved.request(image, **options))
        except InvalidRequestError as error:
            raise ToolError(f"{path}: {error}") from error

    def infer_all(label: str, jobs: Sequence[_Job]) -> list[PoseResponse]:
        with ThreadPoolExecutor(_IN_FLIGHT) as pool:
            answers = pool.map(infer, jobs)
            return list(
                tqdm(answers, label, total=len(jobs), unit=" images", leave=False, disable=None)
            )

    truth, saved = references.truth, references.saved
    return {
        "triton": server.version,
        "variant": asdict(resolved),
        "coco": None if truth is None else _coco_figures(infer_all, truth),
        "agreement": None if saved is None else _agreement(infer_all, references, saved),
        "fast_decode": None if references.jpegs is None else _decodes(infer_all, references.jpegs),
    }


def _coco_figures(infer_all: _InferAll, truth: GroundTruth) -> dict[str, Any]:
    """Score keypoints in annotated and in detected boxes, and the boxes that are detected."""
    annotated = [image for image in truth.images if len(image.person_boxes)]
    jobs = [(image.path, {"person_boxes": image.person_boxes}) for image in annotated]
    given = infer_all("annotated boxes", jobs)
    everyone = {"det_threshold": _ALL_PEOPLE}
    found = infer_all("detected boxes", [(image.path, everyone) for image in truth.images])
    return {
        "images": len(truth.images),
        "given_persons": sum(len(people.boxes) for people in given),
        "given_boxes": coco_scores(truth, annotated, given, "keypoints"),
        "found_persons": sum(len(people.boxes) for people in found),
        "found_boxes": coco_scores(truth, truth.images, found, "keypoints"),
        "detection": coco_scores(truth, truth.images, found, "bbox"),
    }


def _agreement(
    infer_all: _InferAll, references: References, saved: Mapping[str, PoseResponse]
) -> dict[str, Any]:
    options = {"det_threshold": references.det_threshold}
    jobs = [(references.images / name, options) for name in saved]
    answers = infer_all("PaddleX's results", jobs)
    return asdict(Agreement.of(list(zip(saved, saved.values(), answers, strict=True))))


def _decodes(infer_all: _InferAll, files: Sequence[Path]) -> dict[str, Any]:
    full, fast = (
        infer_all(label, [(path, {"fast_decode": choice}) for path in files])
        for label, choice in (("full decoding", False), ("fast decoding", True))
    )
    return asdict(DecodeEffect.of(list(zip(full, fast, strict=True))))
