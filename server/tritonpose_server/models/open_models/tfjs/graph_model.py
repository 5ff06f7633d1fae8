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


class GraphModelError(ConversionError):
    """The graph model is not the expected one."""


class UnsupportedOpError(GraphModelError):
    """A node's operation, or a setting of it, has no ONNX emission here."""


@dataclass(frozen=True)
class Node:
    """One operation of the graph, with TensorFlow's JSON form of its attributes.

    Inputs are tensor names, ``node`` or ``node:k`` for output k; no control inputs.
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
        encoded = self._field(key, "s", None)
        return default if encoded is None else _decode(encoded)

    def integers(self, key: str) -> tuple[int, ...]:
        """Return a list of integers; empty where absent."""
        return tuple(int(item) for item in self._field(key, "list", {}).get("i", ()))

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings; empty where absent."""
        return tuple(_decode(item) for item in self._field(key, "list", {}).get("s", ()))

    def shape(self, key: str) -> tuple[int, ...]:
        """Return a tensor shape; -1 for sizes that are not fixed."""
        return tuple(int(size["size"]) for size in self._field(key, "shape", {}).get("dim", ()))

    def _field(self, key: str, kind: str, default: Any) -> Any:
        return self.attributes.get(key, {}).get(kind, default)


@dataclass(frozen=True)
class GraphModel:
    """Nodes by name, and constant tensors by node name in TensorFlow's axis order."""

    name: str
    nodes: Mapping[str, Node]
    weights: Mapping[str, Array]

    def node(self, name: str) -> Node:
        """Return the node of this name, or raise `GraphModelError`."""
        try:
            return self.nodes[name]
        except KeyError:
            raise GraphModelError(f"graph model {self.name!r} has no node {name!r}") from None

    def weight(self, name: str) -> Array:
        """Return the constant tensor of this name, or raise `GraphModelError`."""
        try:
            return self.weights[name]
        except KeyError:
            raise GraphModelError(f"graph model {self.name!r} has no weight {name!r}") from None


def split_tensor_name(name: str) -> tuple[str, int]:
    """Return node and output index that a tensor name ``node`` or ``node:k`` stands for."""
    node, _, index = name.partition(":")
    return node, int(index or 0)


def load_graph_model(path: Path) -> GraphModel:
    """Load a graph model from its JSON file and the weight files beside it, verified before."""
    content = json.loads(path.read_text("utf-8"))
    nodes = [_node(entry) for entry in content["modelTopology"]["node"]]
    weights: dict[str, Array] = {}
    for group in content["weightsManifest"]:
        data = b"".join((path.parent / file).read_bytes() for file in group["paths"])
        offset = 0
        for entry in group["weights"]:
            # Some are stored as float16.
            stored = np.dtype(entry.get("quantization", entry)["dtype"]).newbyteorder("<")
            count = math.prod(entry["shape"])
            flat = np.frombuffer(data, stored, count, offset)
            weights[entry["name"]] = flat.astype(entry["dtype"]).reshape(entry["shape"])
            offset += count * stored.itemsize
    return GraphModel(path.stem, {node.name: node for node in nodes}, weights)


def _node(entry: Mapping[str, Any]) -> Node:
    inputs = tuple(name for name in entry.get("input", ()) if not name.startswith("^"))
    return Node(entry["name"], entry["op"], inputs, entry.get("attr", {}))


def _decode(encoded: str) -> str:
    return base64.b64decode(encoded).decode("utf-8")
