"""What travels to the server and back, whatever the protocol."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tritonpose.errors import ServerError
from tritonpose_pipeline.keypoint_schema import (
    KeypointSchema,
    KeypointSchemaError,
    default_schema,
    schema_from_json,
)
from tritonpose_pipeline.thresholds import Threshold, threshold_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

MODEL_NAME = "human_keypoint_detection"
"""The Triton model that requests go to."""

# Far more than any model has, and any image shows.
_MOST_JOINTS = _MOST_PEOPLE = 10_000

# In pixels: beyond the sides of all images, also for boxes and keypoints that leave them.
_LARGEST = 2.0**20


@dataclass(frozen=True, eq=False, kw_only=True)
class InferRequest:
    """One image and how to treat it; ``None`` leaves a choice to the server.

    Attributes:
        image: An encoded JPEG, PNG, WebP or BMP file. Exactly one of `image` and `frame`.
        frame: A decoded image, (H, W, 3) uint8, BGR.
        det_threshold: Detector score that a person must exceed, 0 to 1; or of each class, by its
            label or id.
        detector: Name of the detector.
        keypoint_model: Name of the keypoint model.
        flip: Average the result with that of the mirrored crop.
        use_udp: Crop with UDP's unbiased transform.
        fast_decode: Decode a large JPEG only as finely as the models look at it.
        person_boxes: People found elsewhere, (N, 4) float32, x1, y1, x2, y2 in pixels; then no
            detector runs and the answer keeps their order.
        roi: Corners of the region in which people count, (M, 2) float32, x, y in pixels.
        request_id: The request's name in the server's log; made up by default.

    Raises:
        ValueError: Neither or both of `image` and `frame` are given.
    """

    image: bytes | None = None
    frame: NDArray[np.uint8] | None = None
    det_threshold: Threshold | None = None
    detector: str | None = None
    keypoint_model: str | None = None
    flip: bool | None = None
    use_udp: bool | None = None
    fast_decode: bool | None = None
    person_boxes: NDArray[np.float32] | None = None
    roi: NDArray[np.float32] | None = None
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        if (self.image is None) == (self.frame is None):
            raise ValueError("an InferRequest has exactly one of image and frame")

    def tensors(self) -> list[tuple[str, str, NDArray[np.generic]]]:
        """List the input tensors, as (name, Triton datatype, array)."""
        tensors: list[tuple[str, str, NDArray[np.generic]]] = []
        if self.image is not None:
            tensors.append(("image", "UINT8", np.frombuffer(self.image, dtype=np.uint8)))
        if self.frame is not None:
            tensors.append(("frame", "UINT8", self.frame))
        if self.det_threshold is not None and not isinstance(self.det_threshold, Mapping):
            threshold = np.array([self.det_threshold], dtype=np.float32)
            tensors.append(("det_threshold", "FP32", threshold))
        for name, points in (("person_boxes", self.person_boxes), ("roi", self.roi)):
            if points is not None:
                tensors.append((name, "FP32", np.ascontiguousarray(points, dtype=np.float32)))
        return tensors

    def parameters(self) -> dict[str, str | bool]:
        """Make the Triton request parameters: the choices that were made."""
        choices: dict[str, str | bool | None] = {
            "detector": self.detector,
            "keypoint_model": self.keypoint_model,
            "flip": self.flip,
            "use_udp": self.use_udp,
            "fast_decode": self.fast_decode,
        }
        if isinstance(self.det_threshold, Mapping):
            choices["det_threshold"] = threshold_text(self.det_threshold)
        return {name: value for name, value in choices.items() if value is not None}


def trace_headers() -> dict[str, str]:
    """Make the headers that name the span a request belongs to (W3C's trace context).

    No headers where there is no span, or one that is not recorded. A program that has not imported
    OpenTelemetry has none, and pays nothing.
    """
    if "opentelemetry.trace" not in sys.modules:
        return {}
    from opentelemetry import propagate, trace

    if not trace.get_current_span().get_span_context().trace_flags.sampled:
        return {}
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers


@dataclass(frozen=True, eq=False)
class PoseResponse:
    """The people found in one image, by descending detection score. N may be 0.

    Attributes:
        boxes: (N, 4) float32: x1, y1, x2, y2 in pixels of the image.
        det_scores: (N,) float32.
        keypoints: (N, K, 3) float32: x, y in pixels, score.
        kpt_scores: (N,) float32, the mean keypoint score of each person.
        truncated: Whether more people were found than the server gives; these are the best.
        keypoint_schema: What the K keypoints are; None where nobody said it: see `schema`.
    """

    boxes: NDArray[np.float32]
    det_scores: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    kpt_scores: NDArray[np.float32]
    truncated: bool = False
    keypoint_schema: KeypointSchema | None = None

    @property
    def schema(self) -> KeypointSchema:
        """What the keypoints are; if nobody said it, COCO's if there are 17, else only points."""
        return self.keypoint_schema or default_schema(self.keypoints.shape[1])

    @classmethod
    def from_outputs(cls, output: Callable[[str], NDArray[np.generic] | None]) -> PoseResponse:
        """Collect the output tensors that ``output`` gives by name, None for a missing one.

        A missing tensor, or another shape or dtype than agreed, is a ServerError.
        """
        boxes, keypoints = output("boxes"), output("keypoints")
        count = 0 if boxes is None or boxes.ndim == 0 else len(boxes)
        joints = keypoints.shape[1] if keypoints is not None and keypoints.ndim == 3 else 17
        if joints > _MOST_JOINTS:
            raise ServerError(f"the output 'keypoints' has {joints} keypoints per person")
        if count > _MOST_PEOPLE:
            raise ServerError(f"the output 'boxes' has {count} people")
        truncated = output("truncated")
        if truncated is not None and (truncated.dtype != np.bool_ or truncated.size != 1):
            raise ServerError(
                f"the output 'truncated' should be one bool, but is {truncated.shape} "
                f"{truncated.dtype}"
            )
        return cls(
            _checked(boxes, "boxes", (count, 4)),
            _checked(output("det_scores"), "det_scores", (count,)),
            _checked(keypoints, "keypoints", (count, joints, 3)),
            _checked(output("kpt_scores"), "kpt_scores", (count,)),
            # Servers of the first versions lack it.
            truncated is not None and bool(truncated.all()),
            _parsed_schema(output("keypoint_schema"), joints),
        )

    @classmethod
    def from_paddlex(
        cls, boxes: Sequence[Mapping[str, Any]], schema: KeypointSchema | None = None
    ) -> PoseResponse:
        """Collect the people of a PaddleX result; the inverse of `to_paddlex`."""
        joints = 17 if schema is None else len(schema.names)
        if schema is None and boxes:
            joints = len(boxes[0]["keypoints"])

        def collect(key: str, *shape: int) -> NDArray[np.float32]:
            values = np.array([person[key] for person in boxes], dtype=np.float32)
            return values.reshape(len(boxes), *shape)

        return cls(
            collect("coordinate", 4),
            collect("det_score"),
            collect("keypoints", joints, 3),
            collect("kpt_score"),
            keypoint_schema=schema,
        )

    def to_paddlex(self) -> list[dict[str, Any]]:
        """Make the ``boxes`` of a PaddleX result, whose ``keypoints`` are views of the array."""
        return [
            {
                "coordinate": list(box),
                "det_score": float(det_score),
                "keypoints": keypoints,
                "kpt_score": kpt_score,
            }
            for box, det_score, keypoints, kpt_score in zip(
                self.boxes, self.det_scores, self.keypoints, self.kpt_scores, strict=True
            )
        ]


def _parsed_schema(tensor: NDArray[np.generic] | None, joints: int) -> KeypointSchema | None:
    """Read the output `keypoint_schema`; raise ServerError."""
    # Servers of the first versions lack it.
    text = b"" if tensor is None or not tensor.size else tensor.reshape(-1)[0]
    if not isinstance(text, bytes):
        raise ServerError("the output 'keypoint_schema' is no text")
    if not text:
        return None
    try:
        schema = schema_from_json(text.decode())
    except (KeypointSchemaError, UnicodeDecodeError) as error:
        raise ServerError(f"the output 'keypoint_schema' can't be read: {error}") from error
    if len(schema.names) != joints:
        raise ServerError(
            f"the output 'keypoint_schema' names {len(schema.names)} keypoints, but there are "
            f"{joints}: client and server don't fit together"
        )
    return schema


def _checked(
    tensor: NDArray[np.generic] | None, name: str, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Copy an output tensor, so that callers may write to it; raise ServerError."""
    if tensor is None:
        raise ServerError(f"the response lacks the output {name!r}: is this a tritonpose server?")
    if tensor.shape != shape or tensor.dtype != np.float32:
        raise ServerError(
            f"the output {name!r} should be {shape} float32, but is {tensor.shape} "
            f"{tensor.dtype}: client and server don't fit together"
        )
    # False for NaN, too.
    if not np.all(np.abs(tensor) <= _LARGEST):
        raise ServerError(f"the output {name!r} has values that no image can have")
    return tensor.astype(np.float32)
