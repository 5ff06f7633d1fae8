"""From one image to what is asked of the server, and from its answer to the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tritonpose.errors import InputError, InvalidRequestError
from tritonpose.inputs import FileInput, decode_image, path_of
from tritonpose.result import KeypointResult
from tritonpose.transport.messages import InferRequest

if TYPE_CHECKING:
    from tritonpose.config import ModuleConfig, PipelineConfig
    from tritonpose.errors import TritonPoseError
    from tritonpose.inputs import ImageInput
    from tritonpose.transport.messages import PoseResponse


def request_for(image: ImageInput, config: PipelineConfig, threshold: float | None) -> InferRequest:
    """Makes the request of one image.

    Args:
        image: The image.
        config: What to ask of the server.
        threshold: Lowest detection score, 0 to 1; None leaves it to the server.
    """
    encoded = image.source if isinstance(image.source, bytes) else None
    frame = None if isinstance(image.source, bytes) else image.source
    return InferRequest(
        image=encoded,
        frame=frame,
        det_threshold=threshold,
        detector=_requested_model(config.detector),
        keypoint_model=_requested_model(config.keypoint),
        flip=config.keypoint.flip,
        use_udp=config.keypoint.use_udp,
    )


def result_of(image: ImageInput, response: PoseResponse) -> KeypointResult:
    """Makes the result of one image from the server's answer."""
    return _result(image, boxes=boxes_from(response), truncated=response.truncated)


def failed_result(image: ImageInput, error: TritonPoseError) -> KeypointResult:
    """Makes the result of an image whose request failed."""
    return _result(image, error=_explain(error, image))


def unreadable_result(source: object, error: InputError) -> KeypointResult:
    """Makes the result of an item of `expand_inputs` that `load_source` couldn't read."""
    saved_as = source.saved_as if isinstance(source, FileInput) else None
    return KeypointResult(path_of(source), saved_as=saved_as, error=error)


def boxes_from(response: PoseResponse) -> list[dict[str, Any]]:
    """Turns a response into the ``boxes`` of a result."""
    return [
        {
            "coordinate": list(box),
            "det_score": float(det_score),
            "keypoints": keypoints,
            "kpt_score": kpt_score,
        }
        for box, det_score, keypoints, kpt_score in zip(
            response.boxes,
            response.det_scores,
            response.keypoints,
            response.kpt_scores,
            strict=True,
        )
    ]


def _result(
    image: ImageInput,
    *,
    boxes: list[dict[str, Any]] | None = None,
    truncated: bool = False,
    error: TritonPoseError | None = None,
) -> KeypointResult:
    return KeypointResult(
        image.input_path,
        # A damaged image is none.
        None if isinstance(error, InputError) else image.source,
        boxes,
        page_index=image.page_index,
        frame_index=image.frame_index,
        saved_as=image.saved_as,
        truncated=truncated,
        error=error,
    )


def _requested_model(module: ModuleConfig) -> str | None:
    """The name to request; a model with a directory of its own is the server's to know."""
    return module.model_name if module.model_dir is None else None


def _explain(error: TritonPoseError, image: ImageInput) -> TritonPoseError:
    """Blames the image, and says what is wrong with it, where the server couldn't decode it."""
    if isinstance(error, InvalidRequestError) and isinstance(image.source, bytes):
        try:
            decode_image(image.source, image.input_path or "the image")
        except InputError as damage:
            damage.__cause__ = error
            return damage
    return error
