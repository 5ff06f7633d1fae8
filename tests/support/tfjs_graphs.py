"""Writes small TensorFlow.js graph models and runs their ONNX emission, for tests."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from tritonpose_server.models.open_models.tfjs.emitter import Emitter
from tritonpose_server.models.open_models.tfjs.graph_builder import GraphBuilder, Value
from tritonpose_server.models.open_models.tfjs.graph_model import GraphModel, load_graph_model


def attribute(value: Any) -> dict[str, Any]:
    """A Python value in TensorFlow's JSON form."""
    if isinstance(value, bool):
        return {"b": value}
    if isinstance(value, float):
        return {"f": value}
    if isinstance(value, str):
        return {"s": base64.b64encode(value.encode()).decode()}
    if all(isinstance(item, str) for item in value) and value:
        return {"list": {"s": [attribute(item)["s"] for item in value]}}
    return {"list": {"i": [str(item) for item in value]} if value else {}}


def node(name: str, op: str, *inputs: str, **attributes: Any) -> dict[str, Any]:
    encoded = {key: attribute(value) for key, value in attributes.items()}
    return {"name": name, "op": op, "input": list(inputs), "attr": encoded}


def placeholder(name: str, *shape: int) -> dict[str, Any]:
    sizes = [{"size": str(size)} for size in shape]
    attributes = {"shape": {"shape": {"dim": sizes}}}
    return {"name": name, "op": "Placeholder", "attr": attributes}


def write_model(
    directory: Path, nodes: list[dict[str, Any]], weights: dict[str, np.ndarray] | None = None
) -> Path:
    """Write a graph model with float32 and int32 weights; a Const node is added for each."""
    weights = weights or {}
    entries = [
        {"name": name, "shape": list(array.shape), "dtype": str(array.dtype)}
        for name, array in weights.items()
    ]
    (directory / "model.bin").write_bytes(b"".join(array.tobytes() for array in weights.values()))
    content = {
        "format": "graph-model",
        "modelTopology": {"node": [*(node(name, "Const") for name in weights), *nodes]},
        "weightsManifest": [{"paths": ["model.bin"], "weights": entries}],
    }
    path = directory / "model.json"
    path.write_text(json.dumps(content))
    return path


def graph_model(
    directory: Path, nodes: list[dict[str, Any]], weights: dict[str, np.ndarray] | None = None
) -> GraphModel:
    return load_graph_model(write_model(directory, nodes, weights))


def run_model(model: Any, image: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, {"image": image}))


def run_emission(model: GraphModel, tensors: list[str], x: np.ndarray) -> list[np.ndarray]:
    """Emit tensors that depend on node ``x``, fed with an NHWC array, and compute them.

    Checks that the shapes which the emission states are the shapes of the results.
    """
    graph = GraphBuilder()
    emitter = Emitter(model, graph)
    emitter.feed("x", Value("image", (None, *x.shape[1:]), feature_map=True))
    values = [emitter.emit(tensor) for tensor in tensors]
    outputs = {}
    for value in values:
        sizes = [0] * len(value.shape)
        for axis, size in enumerate(value.shape):
            sizes[value.stored_axis(axis)] = size or 0
        outputs[value.name] = sizes[1:]
    nchw = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    stored_image = {"image": nchw.shape[1:]}
    arrays = run_model(graph.model("test", stored_image, outputs), nchw)
    results = []
    for value, array in zip(values, arrays, strict=True):
        logical = array.transpose(0, 2, 3, 1) if value.feature_map else array
        assert logical.shape == (x.shape[0], *value.shape[1:])
        results.append(logical)
    return results
