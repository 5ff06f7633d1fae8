"""Encode requests and decode answers of Triton's HTTP API, with tensors as binary data.

The formats: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
tritonclient's own module for it would bring gevent and six more packages.
"""

from __future__ import annotations

import json
import math
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from tritonpose.transport.messages import InferRequest

_DTYPES: Mapping[str, type[np.generic]] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP32": np.float32,
    "FP64": np.float64,
}


def encode_request(request: InferRequest) -> tuple[list[bytes | memoryview], int]:
    """Encode a request as parts of a body; returns them and the length of the first, the header."""
    tensors = [
        (name, datatype, np.ascontiguousarray(array)) for name, datatype, array in request.tensors()
    ]
    header = {
        "id": request.request_id,
        "parameters": {**request.parameters(), "binary_data_output": True},
        "inputs": [
            {
                "name": name,
                "datatype": datatype,
                "shape": list(array.shape),
                "parameters": {"binary_data_size": array.nbytes},
            }
            for name, datatype, array in tensors
        ],
    }
    encoded = json.dumps(header, separators=(",", ":")).encode()
    # An array without elements can't be cast to bytes.
    data = [array.data.cast("B") for _, _, array in tensors if array.nbytes]
    return [encoded, *data], len(encoded)


def decode_answer(content: bytes, header_length: str | None) -> dict[str, NDArray[np.generic]]:
    """Decode the output tensors of an answer; ValueError, or what reading raises, if it is none.

    ``header_length`` is that of the HTTP header, None where all of the answer is JSON.
    """
    length = len(content) if header_length is None else int(header_length)
    if not 0 <= length <= len(content):
        raise ValueError(f"a header of {length} bytes in an answer of {len(content)}")
    outputs: dict[str, NDArray[np.generic]] = {}
    for output in json.loads(content[:length])["outputs"]:
        array, size = _decode(output, memoryview(content)[length:])
        length += size
        if outputs.setdefault(str(output["name"]), array) is not array:
            raise ValueError(f"two outputs {output['name']!r}")
    return outputs


def _decode(output: Mapping[str, Any], data: memoryview) -> tuple[NDArray[np.generic], int]:
    """Decode one tensor, and return it with the number of its bytes in ``data``."""
    is_text = output["datatype"] == "BYTES"
    dtype = np.object_ if is_text else _DTYPES[output["datatype"]]
    shape = tuple(map(int, output["shape"]))
    if any(size < 0 for size in shape):
        raise ValueError(f"shape {shape}")
    size = output.get("parameters", {}).get("binary_data_size")
    if size is None:
        content = output["data"]
        if is_text:
            content = [str(text).encode() for text in content]
        return np.array(content, dtype=dtype).reshape(shape), 0
    if not 0 <= size <= len(data):
        raise ValueError(f"{size} bytes announced, {len(data)} there")
    if is_text:
        texts = list(_texts(bytes(data[:size]), math.prod(shape)))
        return np.array(texts, dtype=dtype).reshape(shape), size
    return np.frombuffer(data[:size], dtype=dtype).reshape(shape), size


def _texts(data: bytes, count: int) -> Iterator[bytes]:
    """Split texts, each of which begins with its length in 4 bytes."""
    start = 0
    while start < len(data):
        (length,) = struct.unpack_from("<I", data, start)
        start += 4
        text = data[start : start + length]
        start += length
        count -= 1
        if len(text) < length or count < 0:
            raise ValueError(f"a text of {length} bytes, {len(text)} there")
        yield text
