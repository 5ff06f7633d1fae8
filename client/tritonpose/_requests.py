"""Make the request of an image, and the result from the server's response."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tritonpose.errors import ConfigError, InputError, InvalidRequestError
from tritonpose.inputs import FileInput, check_source, decode_source, load_source, path_of
from tritonpose.result import KeypointResult
from tritonpose.transport.messages import InferRequest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tritonpose.config import ModuleConfig, PipelineConfig
    from tritonpose.errors import TritonPoseError
    from tritonpose.given_boxes import GivenBoxes
    from tritonpose.inputs import ImageInput
    from tritonpose.result import Source
    from tritonpose.transport.messages import PoseResponse
    from tritonpose_pipeline.keypoint_schema import KeypointSchema
    from tritonpose_pipeline.thresholds import Threshold


@dataclass(frozen=True)
class PredictOptions:
    """What one ``predict`` asks for: checked arguments.

    Attributes:
        threshold: Of the detector; None leaves it to the server.
        boxes: People that the caller has found, None where detectors are to find them.
        roi: Corners of the region in which people count, (M, 2) float32; None for all of an image.
    """

    threshold: Threshold | None = None
    boxes: GivenBoxes | None = None
    roi: NDArray[np.float32] | None = None


def request_for(
    image: ImageInput,
    config: PipelineConfig,
    threshold: Threshold | None,
    boxes: NDArray[np.float32] | None = None,
    roi: NDArray[np.float32] | None = None,
) -> InferRequest:
    """Make the request of one image; ``threshold`` None leaves it to the server.

    With ``boxes``, (N, 4) float32, x1, y1, x2, y2 in pixels of the image, people are looked for
    nowhere else; with ``roi``, (M, 2) float32, only people in this polygon count. A page that the
    server doesn't decode is decoded here; InputError if it can't be.
    """
    source = image.source
    if not isinstance(source, bytes | np.ndarray):
        source = decode_source(source, image.input_path)
    return InferRequest(
        image=source if isinstance(source, bytes) else None,
        frame=None if isinstance(source, bytes) else source,
        det_threshold=threshold,
        detector=_requested_model(config.detector),
        keypoint_model=_requested_model(config.keypoint),
        flip=config.keypoint.flip,
        use_udp=config.keypoint.use_udp,
        fast_decode=config.fast_decode or None,
        person_boxes=boxes,
        roi=roi,
    )


def load_images(source: object, boxes: NDArray[np.float32] | None) -> list[ImageInput]:
    """Read one item of `expand_inputs`, whose people ``boxes`` are; raises as `load_source`.

    Boxes are of one image: a file that holds several is an InputError with them.
    """
    images = load_source(source)
    if boxes is not None and len(images) > 1:
        path = path_of(source)
        raise InputError(
            f"boxes are of one image, but {path!r} holds {len(images)}: give each page as an "
            "array, with boxes of its own",
            path,
        )
    return images


def result_of(
    image: ImageInput, response: PoseResponse, schema: KeypointSchema | None = None
) -> KeypointResult:
    """Make the result of one image from the server's response.

    What the pipeline file says of the keypoints, ``schema``, comes before what the server says.

    Raises:
        ConfigError: The file is about another number of keypoints.
    """
    joints = response.keypoints.shape[1]
    if schema is not None:
        if len(schema.names) != joints:
            raise ConfigError(
                f"`Keypoints` of the pipeline file are {len(schema.names)}, but the server's model "
                f"has {joints}: correct the section, or leave it out to use what the server knows"
            )
        response = replace(response, keypoint_schema=schema)
    return KeypointResult(**vars(image), boxes=response, truncated=response.truncated)


def failed_result(image: ImageInput, error: TritonPoseError) -> KeypointResult:
    """Make the result of an image whose request failed.

    Says what is wrong with an image that the server couldn't decode, instead of the server.
    """
    source: Source | None = None if isinstance(error, InputError) else image.source
    about_image = isinstance(error, InvalidRequestError) and error.code != "invalid_request"
    if about_image and isinstance(source, bytes):
        try:
            check_source(source, image.input_path)
        except InputError as damage:
            damage.__cause__ = error
            error, source = damage, None
    return KeypointResult(**vars(image) | {"source": source}, error=error)


def unreadable_result(source: object, error: InputError) -> KeypointResult:
    """Make the result of an item of `expand_inputs` that `load_source` couldn't read."""
    saved_as = source.saved_as if isinstance(source, FileInput) else None
    return KeypointResult(path_of(source), saved_as=saved_as, error=error)


def _requested_model(module: ModuleConfig) -> str | None:
    """Return the name to request; only the server knows a model with its own directory."""
    return module.model_name if module.model_dir is None else None
