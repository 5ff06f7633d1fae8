"""The stages of top-down pose estimation, around any function that runs a model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from tritonpose_pipeline.crops import (
    boxes_to_centers_and_scales,
    crop_matrices,
    crop_people,
    transform_points,
    udp_matrices,
)
from tritonpose_pipeline.detection import (
    Detections,
    detector_scale,
    people_inside,
    resize_for_detector,
    select_people,
)
from tritonpose_pipeline.errors import CancelledError, DeadlineError, ModelFailedError
from tritonpose_pipeline.heatmaps import average_flipped, decode_heatmaps
from tritonpose_pipeline.keypoint_schema import KeypointSchema, default_schema
from tritonpose_pipeline.limits import ComputeSlots, Limits, PixelBudget
from tritonpose_pipeline.photo import Photo
from tritonpose_pipeline.repository import ModelRepository
from tritonpose_pipeline.request import PipelineRequest, PoseOptions, resolve_options
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_pipeline.telemetry.spans import Stages, TimeStage, untimed
from tritonpose_pipeline.usage import Usage

FloatArray = npt.NDArray[np.float32]

# Check for cancellation every 50 ms at most: each check costs 0.5 ms.
_CANCELLATION_SECONDS = 0.05


class RunModel(Protocol):
    """Runs a model on a batch of images at network size."""

    def __call__(
        self, model: str, images: npt.NDArray[np.uint8], outputs: tuple[str, ...]
    ) -> list[FloatArray]:
        """Run ``model`` on ``images``, uint8 ``[B, h, w, 3]`` RGB; return the named outputs."""
        ...


class Poses(NamedTuple):
    """The people found in one image, by descending detector score.

    Attributes:
        boxes: float32 ``[N, 4]``, x1, y1, x2, y2 in image pixels.
        det_scores: float32 ``[N]``.
        keypoints: float32 ``[N, K, 3]``, x, y in image pixels, score.
        kpt_scores: float32 ``[N]``, mean keypoint score of each person.
        truncated: bool ``[1]``, whether more people were found than are given.
        keypoint_schema: bytes ``[1]``, the keypoints as JSON; empty where they are what the reader
            assumes without it: COCO's if there are 17, else points without names and limbs.
    """

    boxes: FloatArray
    det_scores: FloatArray
    keypoints: FloatArray
    kpt_scores: FloatArray
    truncated: npt.NDArray[np.bool_]
    keypoint_schema: npt.NDArray[np.object_]


class RequestPipeline:
    """Works on requests within the limits of one process. Safe to use from several threads."""

    def __init__(
        self,
        settings: PipelineSettings,
        repository: ModelRepository,
        limits: Limits,
        slots: ComputeSlots,
        run_model: RunModel,
        usage: Usage | None = None,
    ) -> None:
        """Put a pipeline together.

        Args:
            settings: What holds where a request chooses nothing else.
            repository: Knows the models that requests may name.
            limits: Bounds on requests.
            slots: Bounds the threads that compute.
            run_model: Runs the models; gives its slot to others while it waits.
            usage: What other instances use of the limits, too; None where there are no others.
        """
        self._settings = settings
        self._repository = repository
        self._limits = limits
        self._slots = slots
        self._run_model = run_model
        self._budget = PixelBudget(limits.max_pixels_in_flight, usage)

    def estimate(
        self,
        request: PipelineRequest,
        arrival: float,
        is_cancelled: Callable[[], bool],
        stages: Stages,
    ) -> Poses:
        """Find the people in the image of a request.

        Args:
            request: The request.
            arrival: When it arrived, in seconds of ``time.perf_counter``.
            is_cancelled: Says whether its client has given up.
            stages: Times the stages.

        Raises:
            RequestError: The request is wrong, too late or cancelled, or a model fails.
        """
        deadline = arrival + self._limits.deadline_s

        looked = arrival

        def checkpoint() -> None:
            nonlocal looked
            now = time.perf_counter()
            if now > looked + _CANCELLATION_SECONDS:
                looked = now
                if is_cancelled():
                    raise CancelledError("the client cancelled the request")
            if now > deadline:
                raise DeadlineError(
                    f"the answer was not ready within {self._limits.deadline_s} s (deadline_s)"
                )

        checkpoint()
        with stages("options"):
            options = resolve_options(
                self._settings, self._repository, request.threshold, request.parameters
            )
            given = request.given_people(self._limits)
            region = request.region()
        with stages("check"):
            source = request.check_image(self._limits)
        photo = Photo(source, fast=options.fast_decode, stages=stages)
        width, height = photo.size
        with ExitStack() as held:
            with stages("memory"):
                left = deadline - time.perf_counter()
                held.enter_context(self._budget.hold(width * height, left))
            with stages("core"):
                held.enter_context(self._slots.acquire())
            return estimate_poses(
                photo,
                options,
                self._run_model,
                checkpoint,
                given=given,
                region=region,
                max_persons=self._limits.max_persons,
                stages=stages,
            )


def estimate_poses(
    photo: Photo,
    options: PoseOptions,
    run_model: RunModel,
    checkpoint: Callable[[], None] = lambda: None,
    *,
    given: Detections | None = None,
    region: FloatArray | None = None,
    max_persons: int | None = None,
    stages: TimeStage = untimed,
) -> Poses:
    """Find the people in an image and their keypoints.

    Args:
        photo: The image.
        options: Models, threshold and refinements to use.
        run_model: Runs the models; one call per stage and batch.
        checkpoint: Called between stages; raises to abandon the work.
        given: People found elsewhere; then no detector runs.
        region: float32 ``[M, 2]``, corners of the region in which people count; None for all of
            the image.
        max_persons: The people with the best scores that are kept; None for all.
        stages: Times the stages.

    Returns:
        The people; arrays have length 0 where there are none.

    Source: PaddleX ``_KeypointDetectionPipeline.predict``, with all people batched.
    """
    if given is None or not photo.fast:
        # Before the detector runs: a damaged file then costs no call of it.
        photo.picture(_detector_factor(photo, options))
    checkpoint()
    people = detect_people(photo, options, run_model, stages) if given is None else given
    checkpoint()
    if region is not None:
        people = people_inside(people, region, photo.size)
    boxes, scores = people.boxes[:max_persons], people.scores[:max_persons]
    if given is not None and photo.fast and not len(boxes):
        # Nobody looks at it, but a damaged file is an error all the same.
        photo.picture(photo.factor(math.inf))
    keypoints = estimate_keypoints(photo, boxes, options, run_model, stages)
    return Poses(
        boxes,
        scores,
        keypoints,
        kpt_scores=keypoints[:, :, 2].mean(axis=1),
        truncated=np.array([len(people.boxes) > len(boxes)]),
        keypoint_schema=np.array([_schema_text(options.schema)], np.object_),
    )


def detect_people(
    photo: Photo, options: PoseOptions, run_model: RunModel, stages: TimeStage = untimed
) -> Detections:
    """Find the people in an image.

    Args:
        photo: The image.
        options: Detector and threshold to use.
        run_model: Runs the detector.
        stages: Times the stages.

    Returns:
        Boxes and scores by descending score.
    """
    model, size = options.detector, photo.size
    picture = photo.picture(_detector_factor(photo, options))
    with stages("detector_input"):
        resized = resize_for_detector(picture.pixels, model)
    with stages("detector"):
        (boxes,), (scores,) = run_model(model.name, resized.pixels[None], ("boxes", "scores"))
    with stages("persons"):
        scale = resized.scale
        if picture.factor > 1:
            scale = scale / np.float32(picture.factor)
            boxes = boxes + np.tile(picture.origin * scale, 2).astype(np.float32)
        return select_people(boxes, scores, scale, size, options.thresholds, model)


def estimate_keypoints(
    photo: Photo,
    boxes: FloatArray,
    options: PoseOptions,
    run_model: RunModel,
    stages: TimeStage = untimed,
) -> FloatArray:
    """Estimate the keypoints of the people in given boxes, all at once.

    Args:
        photo: The image.
        boxes: float32 ``[N, 4]``, x1, y1, x2, y2 in image pixels.
        options: Keypoint model and refinements to use.
        run_model: Runs the keypoint model.
        stages: Times the stages.

    Returns:
        float32 ``[N, K, 3]``, x, y in image pixels, score.

    Raises:
        ModelFailedError: The model has another number of keypoints than its configuration says.
    """
    joints = len(options.schema.names)
    if not len(boxes):
        return np.zeros((0, joints, 3), np.float32)
    model = options.keypoint_model
    size = (model.width, model.height)
    centers, scales = boxes_to_centers_and_scales(boxes, model.width / model.height)
    to_crop = (udp_matrices if options.use_udp else crop_matrices)(centers, scales, size)
    pictures = photo.pictures(scales[:, 0] / model.width)
    with stages("crops"):
        crops = np.empty((len(boxes), model.height, model.width, 3), np.uint8)
        for picture, people in pictures:
            crops[people] = crop_people(picture.pixels, picture.from_image(to_crop[people]), size)
    with stages("keypoint_model"):
        heatmaps = _predict_heatmaps(crops, options, run_model)
    if heatmaps.shape[1] != joints:
        raise ModelFailedError(
            f"model {model.name!r}: it answered with {heatmaps.shape[1]} heatmaps per person, its "
            f"configuration says {joints} keypoints"
        )
    with stages("heatmaps"):
        coordinates, scores = decode_heatmaps(heatmaps)
        heatmap_size = (heatmaps.shape[3], heatmaps.shape[2])
        points = transform_points(
            coordinates, crop_matrices(centers, scales, heatmap_size, inverse=True)
        )
        return np.concatenate([points, scores[..., None]], axis=2, dtype=np.float32)


def _detector_factor(photo: Photo, options: PoseOptions) -> int:
    return photo.factor(detector_scale(photo.size, options.detector))


def _predict_heatmaps(
    crops: npt.NDArray[np.uint8], options: PoseOptions, run_model: RunModel
) -> FloatArray:
    """Predict heatmaps of crops, in as few calls as the model's batch size allows."""
    model = options.keypoint_model
    mirrored = options.schema.mirrored if options.flip else None
    batch = crops if mirrored is None else np.concatenate([crops, crops[:, :, ::-1]])
    chunks = [
        run_model(model.name, batch[start : start + model.max_batch_size], ("heatmap",))[0]
        for start in range(0, len(batch), model.max_batch_size)
    ]
    heatmaps = np.concatenate(chunks) if len(chunks) > 1 else chunks[0]
    if mirrored is None:
        return heatmaps
    plain, flipped = heatmaps[: len(crops)], heatmaps[len(crops) :]
    return average_flipped(plain, flipped, mirrored, model.flip_shift)


@lru_cache(maxsize=64)
def _schema_text(schema: KeypointSchema) -> bytes:
    return b"" if schema == default_schema(len(schema.names)) else schema.to_json().encode()
