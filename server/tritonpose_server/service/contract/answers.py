"""The JSON bodies of responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pybase64
import pydantic_core

from tritonpose_server.service.contract.picture import draw_picture

if TYPE_CHECKING:
    from tritonpose.transport.messages import PoseResponse
    from tritonpose_server.service.contract.failures import ServiceError
    from tritonpose_server.service.contract.requests import KeypointRequest


def success_body(request: KeypointRequest, image: bytes, poses: PoseResponse, log_id: str) -> bytes:
    """The answer to a request that succeeded; draws its picture if one is asked for.

    Args:
        request: The request.
        image: The bytes of its image.
        poses: The people in it.
        log_id: Name of the request.

    Returns:
        JSON, UTF-8, as `contract.schema.InferResponse` describes it; float32
        values are written as the double-precision numbers that equal them.
    """
    result: dict[str, Any] = {"persons": _persons(poses)}
    if poses.truncated:
        result["truncated"] = True
    if request.visualize:
        picture = draw_picture(image, poses.keypoints)
        result["image"] = pybase64.b64encode(picture)
    return pydantic_core.to_json(
        {"logId": log_id, "result": result, "errorCode": 0, "errorMsg": "Success"}
    )


def error_body(error: ServiceError, log_id: str) -> bytes:
    """The answer to a request that failed: JSON, UTF-8."""
    return notice_body(error.message, log_id, code=error.status.value)


def notice_body(message: str, log_id: str, *, code: int = 0, **fields: Any) -> bytes:
    """Write an answer without a result.

    Args:
        message: Its text.
        log_id: Name of the request.
        code: 0, or the HTTP status of a failure.
        fields: Further fields; those without content are left out.

    Returns:
        JSON, UTF-8.
    """
    further = {name: content for name, content in fields.items() if content}
    return pydantic_core.to_json(
        {"logId": log_id, "errorCode": code, "errorMsg": message, **further}
    )


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
