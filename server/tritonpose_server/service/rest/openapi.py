"""The OpenAPI description of the service, where FastAPI can't derive it from the code."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus
from typing import Any

from tritonpose_server.service.contract.schema import (
    InferOptions,
    InferRequestBody,
    NoResultResponse,
)
from tritonpose_server.service.rest.responses import NDJSON, REQUEST_ID_HEADER

DESCRIPTION = """\
Finds the people in an image and the keypoints of each. The interface is that of
PaddleX's pipeline `human_keypoint_detection`; the work is done by NVIDIA Triton.

All answers but those of `/metrics` are JSON with `logId`, `errorCode` (0, or the HTTP status of a
failure) and `errorMsg`."""

STREAM = """\
The address of a WebSocket, `ws://` or `wss://`, for the images of one camera or video.

The client first sends a text: a JSON object, `{}` at least. `key` is its API key, where one is
required and no header has it. These hold from then on: `detThreshold`, 0 to 1, and `roi`, as for a
single image; `detInterval`, the detector looks in each image of this number, or `"auto"`; `smooth`,
whether keypoints are smoothed. The answer is `NoResultResponse`.

Then the client sends images, each a binary message: the bytes of a JPEG, PNG, WebP or BMP file.
Before each may come a text with its `time` in seconds, by default that of its arrival, or with
`"reset": true`, where what follows is another scene.

Each image gets one answer, a text: `InferResponse`, whose `result` also has `frame`, the number of
the image from 0, and `time`, and whose persons have `trackId`, the same for the same person; null
for a person seen for the first time, who may be a false detection. Or `NoResultResponse` with
`frame`. An image that comes while two are unanswered replaces the one that waits, which gets
503."""

_FILE = {"type": "string", "format": "binary"}
_FILE_TYPES = (
    *("image/jpeg", "image/png", "image/webp", "image/bmp"),
    "application/octet-stream",
)

_FAILURES = {
    HTTPStatus.UNAUTHORIZED: "The server requires an API key, and the request has no valid one.",
    HTTPStatus.FORBIDDEN: "`image` is a URL that this server does not fetch, or a web page of "
    "another site has sent the request.",
    HTTPStatus.REQUEST_TIMEOUT: "The body did not arrive in time.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body, or the file at a URL, is too large; or a batch "
    "has too many images.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not declared as JSON, an image "
    "file or a form, or is compressed in a way that the server does not read.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The body is not JSON, a field is missing or wrong, or "
    "`image` is not base64 or not an image that can be processed.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "A fault of the server or of a model; its log has "
    "the details.",
    HTTPStatus.BAD_GATEWAY: "The host of a URL does not give the image.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Too many requests are in flight, or Triton is out of reach or "
    "busy.",
    HTTPStatus.GATEWAY_TIMEOUT: "Triton, or the host of a URL, gave no answer in time.",
}

_REQUEST_ID = {
    REQUEST_ID_HEADER: {"description": "The `logId` of the body.", "schema": {"type": "string"}}
}
_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "integer"},
    }
}

_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}

_BATCH_LINE = {
    "title": "BatchLine",
    "description": "The answer to one image of a batch.",
    "type": "object",
    "properties": {
        "index": {
            "type": "integer",
            "minimum": 0,
            "description": "Number of the image in the batch, from 0.",
        },
        "logId": {
            "type": "string",
            "description": "Of its request; else that of the batch, a point and `index`.",
        },
        "result": {"$ref": "#/components/schemas/InferResult"},
        "errorCode": {
            "type": "integer",
            "description": "0, or the HTTP status that this image alone would have been answered "
            "with.",
        },
        "errorMsg": {"type": "string", "description": "`Success`, or what happened."},
    },
    "required": ["index", "logId", "errorCode", "errorMsg"],
}

Responses = dict[int | str, dict[str, Any]]


def success(description: str) -> dict[str, Any]:
    """Describe a success, whose model the route has."""
    return {"description": description, "headers": _REQUEST_ID}


def batch_success() -> dict[str, Any]:
    """Describe the lines that a batch is answered with."""
    schema = {"$ref": "#/components/schemas/BatchLine"}
    return {
        **success("A line of JSON for each image, as it is ready: NDJSON."),
        "content": {NDJSON: {"schema": schema}},
    }


def failures(*statuses: HTTPStatus) -> Responses:
    """Describe failures; without arguments, all those of a request for keypoints."""
    return {
        status.value: {
            "description": _FAILURES[status],
            "model": NoResultResponse,
            "headers": _REQUEST_ID
            | (_RETRY_AFTER if status == HTTPStatus.SERVICE_UNAVAILABLE else {}),
        }
        for status in statuses or _FAILURES
    }


def with_keys(description: dict[str, Any], open_paths: Collection[str]) -> dict[str, Any]:
    """Add to a description that API keys are required, except at some paths."""
    open_operations = {
        path: {method: {**each, "security": []} for method, each in methods.items()}
        for path, methods in description["paths"].items()
        if path in open_paths
    }
    return {
        **description,
        "paths": {**description["paths"], **open_operations},
        "components": {**description["components"], "securitySchemes": _KEYS},
        "security": [{name: []} for name in _KEYS],
    }


def with_requests(description: dict[str, Any]) -> dict[str, Any]:
    """Add to a description the types of requests, by names that generated clients can use."""
    components = description["components"]
    document = InferRequestBody.model_json_schema()
    image = {**document["properties"]["image"], **_FILE}
    image["description"] = "A JPEG, PNG, WebP or BMP file."
    del image["examples"]
    form = {
        **document,
        "title": "InferForm",
        "properties": {**document["properties"], "image": image},
    }
    files = {
        "type": "array",
        "items": _FILE,
        "minItems": 1,
        "description": "JPEG, PNG, WebP or BMP files.",
    }
    batch = {
        **document,
        "title": "InferBatchForm",
        "description": "Images to find people in, and options that hold for all of them.",
        "properties": {**document["properties"], "image": files},
    }
    schemas = {
        **components["schemas"],
        "InferRequest": document,
        "InferForm": form,
        "InferBatchForm": batch,
        "BatchLine": _BATCH_LINE,
    }
    return {**description, "components": {**components, "schemas": schemas}}


def infer_extra() -> dict[str, Any]:
    """Describe the request for keypoints, which the route reads without FastAPI."""
    schemas = {
        "application/json": {"$ref": "#/components/schemas/InferRequest"},
        "multipart/form-data": {"$ref": "#/components/schemas/InferForm"},
        **dict.fromkeys(_FILE_TYPES, _FILE),
    }
    return _request(schemas, "Where the body doesn't say it.")


def batch_extra() -> dict[str, Any]:
    """Describe the request for the keypoints in several images."""
    requests = {
        "type": "array",
        "items": {"$ref": "#/components/schemas/InferRequest"},
        "minItems": 1,
    }
    schemas = {
        "application/json": requests,
        "multipart/form-data": {"$ref": "#/components/schemas/InferBatchForm"},
    }
    return _request(schemas, "For all images whose request doesn't say it.")


def _request(schemas: dict[str, Any], when: str) -> dict[str, Any]:
    """Describe a request with a body of these types; ``when`` options in the query count."""
    options = InferOptions.model_json_schema()["properties"]
    return {
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": schema} for kind, schema in schemas.items()},
        },
        "parameters": [
            *(
                {
                    "name": name,
                    "in": "query",
                    "required": False,
                    "description": f"{when} {schema['description']}",
                    **_of_parameter(
                        {key: schema[key] for key in schema.keys() - {"description", "title"}}
                    ),
                }
                for name, schema in options.items()
            ),
            {
                "name": REQUEST_ID_HEADER,
                "in": "header",
                "required": False,
                "description": "Id of this request where its body has no `logId`; 1 to 128 "
                "printable ASCII characters without blanks, else it is ignored.",
                "schema": {"type": "string"},
            },
        ],
    }


def _of_parameter(schema: dict[str, Any]) -> dict[str, Any]:
    """Place a type into the description of a query parameter, where lists are JSON."""
    is_list = any(kind.get("type") == "array" for kind in schema.get("anyOf", []))
    return {"content": {"application/json": {"schema": schema}}} if is_list else {"schema": schema}
