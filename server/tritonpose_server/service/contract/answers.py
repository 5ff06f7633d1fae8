"""The JSON bodies of responses, and the picture in them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import cv2
import pybase64
import pydantic_core
from PIL import Image

from tritonpose.drawing.poses import draw_poses
from tritonpose_pipeline.image import check_file, decode_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tritonpose.transport.messages import PoseResponse
    from tritonpose_server.service.contract.failures import ServiceError
    from tritonpose_server.service.contract.requests import KeypointRequest


def success_body(request: KeypointRequest, image: bytes, poses: PoseResponse, log_id: str) -> bytes:
    """Write the answer to a request that succeeded; draw its picture if the client wants one.

    JSON, UTF-8, as `contract.schema.InferResponse` describes it; float32 values are written as the
    double-precision numbers that equal them.
    """
    result = _result(_persons(poses), poses)
    if request.visualize:
        result["image"] = pybase64.b64encode(draw_picture(image, poses))
    return _success(result, log_id)


def tracked_body(
    people: PoseResponse, track_ids: Sequence[int | None], frame: int, time: float, log_id: str
) -> bytes:
    """Write the answer to a frame of a stream: as `success_body`, with ids, number and time."""
    persons = [
        {"trackId": track_id, **person}
        for track_id, person in zip(track_ids, _persons(people), strict=True)
    ]
    result = {"frame": frame, "time": time, **_result(persons, people)}
    return _success(result, log_id)


def error_body(error: ServiceError, log_id: str, frame: int | None = None) -> bytes:
    """Write the answer to a request that failed, or a frame: JSON, UTF-8."""
    return notice_body(error.message, log_id, code=error.status.value, frame=frame)


def numbered(body: bytes, index: int) -> bytes:
    """Make a line of an answer: that to the image of a batch with this index, from 0."""
    return b'{"index":%d,%b\n' % (index, body[1:])


def notice_body(message: str, log_id: str, *, code: int = 0, **fields: Any) -> bytes:
    """Write an answer without a result as JSON, UTF-8; ``fields`` that are None are left out.

    ``code`` is 0, or the HTTP status of a failure.
    """
    further = {name: content for name, content in fields.items() if content is not None}
    return pydantic_core.to_json(
        {"logId": log_id, "errorCode": code, "errorMsg": message, **further}
    )


def draw_picture(image: bytes, poses: PoseResponse) -> bytes:
    """Draw poses on an image; JPEG of Pillow's default quality, as PaddleX's are.

    Raises DamagedImageError if the image can't be decoded.
    """
    canvas = draw_poses(decode_image(check_file(image)), poses.keypoints, poses.schema)
    file = io.BytesIO()
    # In place: the canvas of a large image takes 200 MB.
    Image.fromarray(cv2.cvtColor(canvas, cv2.COLOR_BGR2RGB, dst=canvas)).save(file, format="JPEG")
    return file.getvalue()


def _success(result: dict[str, Any], log_id: str) -> bytes:
    return pydantic_core.to_json(
        {"logId": log_id, "result": result, "errorCode": 0, "errorMsg": "Success"}
    )


def _result(persons: list[dict[str, Any]], poses: PoseResponse) -> dict[str, Any]:
    result: dict[str, Any] = {"persons": persons}
    if poses.truncated:
        result["truncated"] = True
    if poses.keypoint_schema is not None:
        result["keypointSchema"] = poses.keypoint_schema.to_mapping()
    return result


def _persons(poses: PoseResponse) -> list[dict[str, Any]]:
    return [
        {"bbox": box, "kpts": keypoints, "detScore": det_score, "kptScore": kpt_score}
        for box, keypoints, det_score, kpt_score in zip(
            poses.boxes.tolist(),
            poses.keypoints.tolist(),
            poses.det_scores.tolist(),
            poses.kpt_scores.tolist(),
            strict=True,
        )
    ]
