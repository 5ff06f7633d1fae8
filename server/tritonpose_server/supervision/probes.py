"""Small requests that show whether a model still works."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PIPELINE = "human_keypoint_detection"
_HPS = "human-keypoint-detection"

REQUEST_ID = "supervisor"
"""The id of all probes, for logs."""


@dataclass(frozen=True)
class Probe:
    """A request, in the binary form of KServe's protocol version 2.

    Attributes:
        path: Where to post it.
        headers: HTTP headers.
        body: What to post.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class _Tensor:
    name: str
    datatype: str
    shape: Sequence[int]
    content: bytes


def probe_for(config: Mapping[str, Any]) -> Probe | None:
    """Make the cheapest request that a model answers well.

    The pipeline gets a tiny image with a list of no persons, for which it calls no other model;
    PaddleX's contract a body that lacks everything, whose refusal is an answer like any other;
    and a model a black image, as only computing shows whether it computes.

    Args:
        config: The model's configuration, as Triton tells it.

    Returns:
        None for a model of a kind that is not known.
    """
    name = config["name"]
    if name == _PIPELINE:
        frame = _Tensor("frame", "UINT8", (8, 8, 3), bytes(8 * 8 * 3))
        return _probe(name, frame, _Tensor("person_boxes", "FP32", (0, 4), b""))
    if name == _HPS:
        text = b"{}"
        content = len(text).to_bytes(4, "little") + text
        return _probe(name, _Tensor("input", "BYTES", (1, 1), content))
    inputs = [(entry["name"], entry["data_type"]) for entry in config["input"]]
    if inputs != [("image", "TYPE_UINT8")]:
        return None
    shape = [int(size) for size in config["input"][0]["dims"]]
    if min(shape) < 1:
        return None
    return _probe(name, _Tensor("image", "UINT8", (1, *shape), bytes(math.prod(shape))))


def _probe(model: str, *tensors: _Tensor) -> Probe:
    header = json.dumps(
        {
            "id": REQUEST_ID,
            "inputs": [
                {
                    "name": tensor.name,
                    "datatype": tensor.datatype,
                    "shape": tensor.shape,
                    "parameters": {"binary_data_size": len(tensor.content)},
                }
                for tensor in tensors
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    return Probe(
        f"/v2/models/{model}/infer",
        {"Inference-Header-Content-Length": str(len(header))},
        header + b"".join(tensor.content for tensor in tensors),
    )
