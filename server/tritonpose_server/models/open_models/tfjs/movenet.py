"""MoveNet single-pose, a keypoint model, from its TensorFlow.js graph model.

The network has four heads on a grid of stride 4: a heatmap of each joint, a heatmap of person
centers, the way from a center to its joints, and offsets within cells (not used here). As MoveNet
itself does, joints are looked for near where the best center says they are, so that another
person in the picture draws less attention.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx

from tritonpose_server.models.open_models.tfjs.emitter import Emitter
from tritonpose_server.models.open_models.tfjs.graph_builder import GraphBuilder, Value
from tritonpose_server.models.open_models.tfjs.graph_model import Array, GraphModel

JOINTS = 17
STRIDE = 4

_SCOPE = "StatefulPartitionedCall/"
_INPUT = "input"
# The image after the graph's own scaling.
_SCALED_IMAGE = _SCOPE + "sub_1"
_JOINT_LOGITS = _SCOPE + "kpt_heatmap_0/conv2d_5/BiasAdd"
_CENTER_LOGITS = _SCOPE + "center_0/conv2d_4/BiasAdd"
_JOINT_VECTORS = _SCOPE + "kpt_regress_0/conv2d_6/BiasAdd"

# The coarsest features: sizes must be multiples for all levels to line up.
_LARGEST_STRIDE = 32
# Cells at which a joint's weight has halved. The graph has it as well, rounded to 1.7998.
_HALF_DISTANCE = 1.8
# Half a cell: MoveNet's cell i stands for pixel 4i+2, PP-TinyPose's for pixel 4i.
_SHIFT = STRIDE // 2
_BLACK = -1.0


@dataclass(frozen=True)
class _Grid:
    """The grid of the heads, in cells."""

    rows: int
    columns: int

    @property
    def cells(self) -> int:
        return self.rows * self.columns

    def coordinates(self) -> Array:
        """Return row and column of each cell, float64 [cells,2]."""
        rows, columns = np.divmod(np.arange(self.cells), self.columns)
        coordinates: Array = np.stack([rows, columns], axis=1).astype(np.float64)
        return coordinates

    def center_weights(self) -> Array:
        """Return the preference for people in the middle of the picture, float64 [1,cells]."""
        middle = (self.rows // 2, self.columns // 2)
        distances: Array = np.linalg.norm(self.coordinates() - middle, axis=1, keepdims=True)
        return 1.0 / (distances.T + _HALF_DISTANCE)


def build_movenet(model: GraphModel, height: int = 256, width: int = 192) -> onnx.ModelProto:
    """Re-emit MoveNet, Lightning or Thunder, fully convolutionally up to its heatmaps.

    Height and width are multiples of 32 pixels. Input ``image`` FP32 [N,3,height,width], RGB as
    ``x / 127.5 - 1``; output ``heatmap`` FP32 [N,17,height/4,width/4] in 0..1, joints in COCO's
    order: the sigmoid of MoveNet's heatmap times 1.8 / (d + 1.8), d being the distance in cells to
    the joint as regressed from the best person center. Cell (r, c) stands for pixel (4r, 4c).
    """
    if height < 1 or width < 1 or height % _LARGEST_STRIDE or width % _LARGEST_STRIDE:
        raise ValueError(
            f"height and width must be positive multiples of {_LARGEST_STRIDE}, "
            f"got {height}x{width}"
        )
    graph = GraphBuilder()
    emitter = Emitter(_at_size(model, height, width), graph)
    shifted = _shifted(graph, "image", height, width)
    emitter.feed(_SCALED_IMAGE, Value(shifted, (None, height, width, 3), feature_map=True))
    grid = _Grid(height // STRIDE, width // STRIDE)
    centers = emitter.emit(_CENTER_LOGITS).name
    vectors = emitter.emit(_JOINT_VECTORS).name
    rows, columns = _regressed_joints(graph, grid, centers, vectors)
    weights = _joint_weights(graph, grid, rows, columns)
    joints = graph.add("Sigmoid", [emitter.emit(_JOINT_LOGITS).name])
    graph.add("Mul", [joints, weights], output="heatmap")
    return graph.model(
        model.name,
        {"image": (3, height, width)},
        {"heatmap": (JOINTS, grid.rows, grid.columns)},
    )


def _at_size(model: GraphModel, height: int, width: int) -> GraphModel:
    """Scale the target sizes of the model's resizes to another input size."""
    native = np.array(model.node(_INPUT).shape("shape")[1:3])
    sizes = {node.inputs[1] for node in model.nodes.values() if node.op == "ResizeBilinear"}
    scaled = {name: model.weight(name) * (height, width) // native for name in sizes}
    return replace(model, weights={**model.weights, **scaled})


def _shifted(graph: GraphBuilder, image: str, height: int, width: int) -> str:
    """Move the image right and down, filling with black."""
    # Not one Pad with negative padding: not every runtime takes that.
    kept = graph.add(
        "Slice",
        [
            image,
            graph.int64(0, 0),
            graph.int64(height - _SHIFT, width - _SHIFT),
            graph.int64(2, 3),
        ],
    )
    pads = graph.int64(0, 0, _SHIFT, _SHIFT, 0, 0, 0, 0)
    return graph.add("Pad", [kept, pads, graph.float32(_BLACK)], mode="constant")


def _regressed_joints(
    graph: GraphBuilder, grid: _Grid, center_logits: str, vectors: str
) -> list[str]:
    """Read rows and columns, in cells, where the best person center places the joints.

    Each is [N,17,1,1]. ``center_logits`` is [N,1,rows,columns]; ``vectors`` lead from each cell to
    its joints, in cells: [N,34,rows,columns], for each joint its row, then its column.
    """
    scores = graph.add("Sigmoid", [center_logits])
    flat_scores = graph.add("Reshape", [scores, graph.int64(0, grid.cells)])
    weighted = graph.add("Mul", [flat_scores, graph.float32(grid.center_weights())])
    best = graph.add("ArgMax", [weighted], axis=1, keepdims=1)
    flat_vectors = graph.add("Reshape", [vectors, graph.int64(0, 2 * JOINTS, grid.cells)])
    by_cell = graph.add("Transpose", [flat_vectors], perm=(0, 2, 1))
    chosen = graph.add("GatherND", [by_cell, best], batch_dims=1)
    pairs = graph.add("Reshape", [chosen, graph.int64(0, JOINTS, 2)])
    center = graph.add("Gather", [graph.float32(grid.coordinates()), best], axis=0)
    joints = graph.add("Add", [pairs, center])
    return graph.split(graph.add("Unsqueeze", [joints, graph.int64(3)]), (1, 1), axis=2)


def _joint_weights(graph: GraphBuilder, grid: _Grid, rows: str, columns: str) -> str:
    """Compute cell weights [N,17,rows,columns] of each joint, 1 where it is regressed."""
    row_numbers = graph.float32(np.arange(grid.rows).reshape(1, 1, -1, 1))
    column_numbers = graph.float32(np.arange(grid.columns).reshape(1, 1, 1, -1))
    down = graph.add("Sub", [row_numbers, rows])
    right = graph.add("Sub", [column_numbers, columns])
    squares = [graph.add("Mul", [way, way]) for way in (down, right)]
    distance = graph.add("Sqrt", [graph.add("Add", squares)])
    half = graph.float32(_HALF_DISTANCE)
    return graph.add("Div", [half, graph.add("Add", [distance, half])])
