"""NanoDet, a person detector, from its TensorFlow.js graph model.

Box regression is that of Generalized Focal Loss (Li et al., 2020, https://arxiv.org/abs/2006.04388):
each side of a box is the expectation of a discrete distribution over 11 distances.
"""

from __future__ import annotations

import numpy as np
import onnx

from tritonpose_server.models.open_models.tfjs.emitter import Emitter
from tritonpose_server.models.open_models.tfjs.graph_builder import GraphBuilder, Value
from tritonpose_server.models.open_models.tfjs.graph_model import Array, GraphModel

SIZE = 416

# Stride of each level, and the node that splits its head into class logits and distance logits.
_HEADS = {
    8: "PartitionedCall/onnx_tf_prefix_Split_153",
    16: "PartitionedCall/onnx_tf_prefix_Split_164",
    32: "PartitionedCall/onnx_tf_prefix_Split_175",
}
_INPUT = "input_1"
_PERSON = 0
_BINS = 11
_LEFT_TOP_RIGHT_BOTTOM = np.array([-1.0, -1.0, 1.0, 1.0]).reshape(1, 4, 1)


def build_nanodet(model: GraphModel) -> onnx.ModelProto:
    """Re-emit NanoDet, for 416x416 images and the classes of COCO, with boxes decoded, before NMS.

    Input ``image`` FP32 [N,3,416,416], normalized BGR; outputs ``boxes`` FP32 [N,3549,4],
    x1,y1,x2,y2 in network pixels within 0..416, and ``scores`` FP32 [N,3549], each box's
    probability of showing a person.
    """
    graph = GraphBuilder()
    emitter = Emitter(model, graph)
    emitter.feed(_INPUT, Value("image", (None, 3, SIZE, SIZE), feature_map=False))
    logits, distances = [], []
    for head in _HEADS.values():
        logits.append(_person_logits(graph, emitter.emit(head)))
        distances.append(_flattened_distances(graph, emitter.emit(f"{head}:1")))
    graph.add("Sigmoid", [graph.add("Concat", logits, axis=1)], output="scores")
    _decode_boxes(graph, graph.add("Concat", distances, axis=2))
    count = sum((SIZE // stride) ** 2 for stride in _HEADS)
    return graph.model(
        "nanodet",
        {"image": (3, SIZE, SIZE)},
        {"boxes": (count, 4), "scores": (count,)},
    )


def _person_logits(graph: GraphBuilder, classes: Value) -> str:
    """Reshape scores [N,80,h,w] to [N,h*w]."""
    person = graph.add("Gather", [classes.name, graph.int64(_PERSON)], axis=1)
    return graph.add("Reshape", [person, graph.int64(0, -1)])


def _flattened_distances(graph: GraphBuilder, distances: Value) -> str:
    """Reshape distances [N,44,h,w] to [N,44,h*w]."""
    return graph.add("Reshape", [distances.name, graph.int64(0, 4 * _BINS, -1)])


def _decode_boxes(graph: GraphBuilder, logits: str) -> str:
    """Decode distance logits [N,44,A] to ``boxes`` [N,A,4]."""
    centers, strides = _cells()
    bins = graph.add("Reshape", [logits, graph.int64(0, 4, _BINS, -1)])
    probabilities = graph.add("Softmax", [bins], axis=2)
    values = graph.float32(np.arange(_BINS).reshape(1, 1, _BINS, 1))
    terms = graph.add("Mul", [probabilities, values])
    expectation = graph.add("ReduceSum", [terms, graph.int64(2)], keepdims=0)
    offsets = graph.add("Mul", [expectation, graph.float32(_LEFT_TOP_RIGHT_BOTTOM * strides)])
    sides = graph.add("Add", [offsets, graph.float32(np.concatenate([centers, centers])[None])])
    clipped = graph.add("Clip", [sides, graph.float32(0.0), graph.float32(float(SIZE))])
    return graph.add("Transpose", [clipped], output="boxes", perm=(0, 2, 1))


def _cells() -> tuple[Array, Array]:
    """Compute centers [2,A] (x, y; network pixels) and strides [A] of the cells of all levels."""
    centers, strides = [], []
    for stride in _HEADS:
        middles = (np.arange(SIZE // stride) + 0.5) * stride
        y, x = np.meshgrid(middles, middles, indexing="ij")
        centers.append(np.stack([x.ravel(), y.ravel()]))
        strides.append(np.full(x.size, stride))
    return np.concatenate(centers, axis=1), np.concatenate(strides)
