"""Reads the weights of a Paddle model (``.pdiparams``), to tell whether an ONNX file has them."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

# Paddle's numbers of types, and their sizes in bytes.
_TYPE_SIZES = {0: 1, 1: 2, 2: 4, 3: 8, 4: 2, 5: 4, 6: 8, 20: 1, 21: 1, 22: 2}
_FLOAT16, _FLOAT32 = 4, 5

# Smaller tensors are alike in different models.
_LEAST_BYTES = 64


def shared_weights(model: onnx.ModelProto, parameters: Path) -> float | None:
    """Return the share of a model's weights, by size, that a file of Paddle's has as well.

    Weights in half precision are compared with those of the file in half precision. None where the
    file is not in the form that Paddle writes, or the model has no weights.
    """
    weights = [*model.graph.initializer]
    weights += [
        a.t for node in model.graph.node if node.op_type == "Constant" for a in node.attribute
    ]
    arrays = [
        numpy_helper.to_array(tensor)
        for tensor in weights
        if tensor.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16)
    ]
    # Zeros and ones, as many layers have them, are alike in all models.
    arrays = [a for a in arrays if a.nbytes >= _LEAST_BYTES and (a != a.flat[0]).any()]
    total = sum(array.nbytes for array in arrays)
    try:
        known = {digest for content in _tensors(parameters.read_bytes()) for digest in content}
    except (struct.error, LookupError, ValueError, ArithmeticError):
        return None
    if total == 0 or not known:
        return None
    return sum(a.nbytes for a in arrays if _digest(a.tobytes()) in known) / total


def _tensors(content: bytes) -> Iterator[list[bytes]]:
    """Iterate over the weights in a file: digests of each, as it is and in half precision."""
    position = 0
    while position < len(content):
        version, levels = struct.unpack_from("<IQ", content, position)
        position += 12
        for _ in range(levels):
            position += 8 + struct.unpack_from("<Q", content, position)[0]
        _, size = struct.unpack_from("<Ii", content, position)
        position += 8
        data_type, count = _description(content[position : position + size])
        position += size
        length = _TYPE_SIZES[data_type] * count
        if version != 0 or size < 0 or position + length > len(content):
            raise ValueError("not tensors of Paddle's")
        values = content[position : position + length]
        position += length
        if data_type not in (_FLOAT16, _FLOAT32):
            continue
        digests = [_digest(values)]
        if data_type == _FLOAT32:
            with np.errstate(over="ignore"):
                half = np.frombuffer(values, np.float32).astype(np.float16)
            digests.append(_digest(half.tobytes()))
        yield digests


def _description(message: bytes) -> tuple[int, int]:
    """Read type and number of values from a protobuf message ``TensorDesc``."""
    data_type, count, position = -1, 1, 0
    while position < len(message):
        key, position = _varint(message, position)
        value, position = _varint(message, position)
        if key == 0x08:
            data_type = value
        elif key == 0x10:
            count *= value
        else:
            raise ValueError("not a description of a tensor")
    return data_type, count


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
