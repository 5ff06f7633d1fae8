"""Reads TensorFlow.js graph models: a JSON topology and its binary weights."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tritonpose_server.models.errors import ConversionError

Array = npt.NDArray[Any]

_DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "int32": np.dtype("<i4"),
    "bool": np.dtype("?"),
}
_QUANTIZED_DTYPES: dict[str, np.dtype[Any]] = {
    "float16": np.dtype("<f2"),
    "uint8": np.dtype("u1"),
    "uint16": np.dtype("<u2"),
}


class GraphModelError(ConversionError):
    """The files are not a graph model that can be converted."""


class UnsupportedOpError(GraphModelError):
    """A node's operation, or a setting of it, has no ONNX emission here."""


@dataclass(frozen=True)
class Node:
    """One operation of the graph.

    Attributes:
        name: Unique in the graph.
        op: TensorFlow operation, such as ``Conv2D``.
        inputs: Tensor names, ``node`` or ``node:k`` for output k; no control inputs.
        attributes: TensorFlow's JSON form of the attributes; read them by the methods.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def flag(self, key: str) -> bool:
        """Return a Boolean attribute; false where absent, as in TensorFlow's protobuf."""
        return bool(self._field(key, "b", False))

    def number(self, key: str, default: float) -> float:
        """Return a float attribute."""
        return float(self._field(key, "f", default))

    def text(self, key: str, default: str) -> str:
        """Return a string attribute."""
        value = self.attributes.get(key)
        return default if value is None else _decode(self._field(key, "s", ""))

    def integers(self, key: str) -> tuple[int, ...]:
        """List of integers; empty where absent."""
        return tuple(int(item) for item in self._field(key, "list", {}).get("i", ()))

    def texts(self, key: str) -> tuple[str, ...]:
        """List of strings; empty where absent."""
        return tuple(_decode(item) for item in self._field(key, "list", {}).get("s", ()))

    def shape(self, key: str) -> tuple[int, ...]:
        """Return a tensor shape; -1 for sizes that are not fixed."""
        return tuple(int(size["size"]) for size in self._field(key, "shape", {}).get("dim", ()))

    def _field(self, key: str, kind: str, default: Any) -> Any:
        value = self.attributes.get(key)
        if value is None:
            return default
        if kind not in value:
            raise GraphModelError(
                f"{self.op} node {self.name!r}: attribute {key!r} is not of kind {kind!r}: {value}"
            )
        return value[kind]


@dataclass(frozen=True)
class GraphModel:
    """A graph model in memory.

    Attributes:
        name: File name without its suffix.
        nodes: Every node by name.
        weights: Constant tensors by node name, dequantised, in TensorFlow's axis order.
    """

    name: str
    nodes: Mapping[str, Node]
    weights: Mapping[str, Array]

    def node(self, name: str) -> Node:
        """Return the node of this name.

        Raises:
            GraphModelError: There is none.
        """
        try:
            return self.nodes[name]
        except KeyError:
            raise GraphModelError(f"graph model {self.name!r} has no node {name!r}") from None

    def weight(self, name: str) -> Array:
        """Return the constant tensor of this name.

        Raises:
            GraphModelError: There is none.
        """
        try:
            return self.weights[name]
        except KeyError:
            raise GraphModelError(f"graph model {self.name!r} has no weight {name!r}") from None


def split_tensor_name(name: str) -> tuple[str, int]:
    """Return node and output index that a tensor name ``node`` or ``node:k`` stands for."""
    node, _, index = name.partition(":")
    return node, int(index or 0)


def load_graph_model(path: Path) -> GraphModel:
    """Load a graph model.

    Args:
        path: The JSON file; the weight files that it names lie beside it.

    Returns:
        The model, its weights dequantised (``value * scale + min``) to the declared dtype.

    Raises:
        GraphModelError: A file is missing, cut short or malformed, or a weight has a dtype that
            is not supported; the message names it.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise GraphModelError(f"{path} is missing") from None
    except ValueError as error:
        raise GraphModelError(f"{path} is not JSON: {error}") from error
    weights: dict[str, Array] = {}
    try:
        nodes = {entry["name"]: _node(entry) for entry in content["modelTopology"]["node"]}
        for group in content["weightsManifest"]:
            weights.update(_read_group(path.parent, group["paths"], group["weights"]))
    except (AttributeError, KeyError, TypeError) as error:
        raise GraphModelError(
            f"{path} is not a TensorFlow.js graph model: {type(error).__name__} {error}"
        ) from error
    return GraphModel(path.stem, nodes, weights)


def _node(entry: Mapping[str, Any]) -> Node:
    inputs = tuple(name for name in entry.get("input", ()) if not name.startswith("^"))
    return Node(entry["name"], entry["op"], inputs, entry.get("attr", {}))


def _read_group(
    directory: Path, files: list[str], entries: list[Mapping[str, Any]]
) -> dict[str, Array]:
    """Read the weights that lie one after the other in the concatenation of some files."""
    parts = []
    for file in files:
        if Path(file).name != file:
            raise GraphModelError(f"weight file {file!r} does not lie beside its JSON file")
        try:
            parts.append((directory / file).read_bytes())
        except FileNotFoundError:
            raise GraphModelError(f"{directory / file} is missing") from None
    data = b"".join(parts)
    weights: dict[str, Array] = {}
    offset = 0
    for entry in entries:
        name, stored = entry["name"], _stored_dtype(entry)
        count = math.prod(entry["shape"])
        end = offset + count * stored.itemsize
        if end > len(data):
            raise GraphModelError(
                f"weight {name!r} ends at byte {end}, but {', '.join(files)} has {len(data)}"
            )
        flat = np.frombuffer(data, stored, count, offset)
        weights[name] = _dequantize(flat, entry).reshape(entry["shape"])
        offset = end
    if offset != len(data):
        raise GraphModelError(
            f"{', '.join(files)} has {len(data)} bytes, but its weights take {offset}"
        )
    return weights


def _stored_dtype(entry: Mapping[str, Any]) -> np.dtype[Any]:
    quantization = entry.get("quantization")
    known = _QUANTIZED_DTYPES if quantization else _DTYPES
    dtype = (quantization or entry)["dtype"]
    if dtype not in known or entry["dtype"] not in _DTYPES:
        raise GraphModelError(
            f"weight {entry['name']!r} has dtype {entry['dtype']!r} stored as {dtype!r}, which "
            "is not supported"
        )
    return known[dtype]


def _dequantize(stored: Array, entry: Mapping[str, Any]) -> Array:
    quantization = entry.get("quantization", {})
    values = stored
    if "scale" in quantization:
        values = stored.astype(np.float64) * quantization["scale"] + quantization["min"]
        if entry["dtype"] == "int32":
            values = np.rint(values)
    return values.astype(_DTYPES[entry["dtype"]])


def _decode(encoded: str) -> str:
    return base64.b64decode(encoded).decode("utf-8")
