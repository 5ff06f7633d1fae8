"""Small networks in the form PaddleX exports them, and the same computed by numpy, for tests."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import yaml
from onnx import TensorProto, helper, numpy_helper

JOINTS = 17
ANCHOR_CELL = 8
HEATMAP_CELL = 4

MEAN = [0.485, 0.456, 0.406]
STD = [0.229, 0.224, 0.225]

_rng = np.random.default_rng(42)
_JOINT_WEIGHTS = _rng.normal(size=(JOINTS, 3)).astype(np.float32)
_BOX_WEIGHTS = _rng.normal(size=(4, 3)).astype(np.float32)
_CLASS_WEIGHTS = _rng.normal(size=(8, 3)).astype(np.float32)


@dataclass(frozen=True)
class Suppression:
    """What a detector's graph says of its non-maximum suppression."""

    top_k: int = 900
    iou: float = 0.6
    score: float = 0.025
    keep: int = 70


class Graph:
    """Collects the parts of an ONNX model; everything is float32 unless said otherwise."""

    def __init__(self, *, constants_as_nodes: bool = False) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self._constants_as_nodes = constants_as_nodes

    def input(self, name: str, *shape: int | str | None) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def output(self, name: str, *shape: int | str | None, dtype: int = TensorProto.FLOAT) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, dtype, shape))

    def constant(self, name: str, value: Any, dtype: Any) -> str:
        tensor = numpy_helper.from_array(np.array(value, dtype), name)
        if self._constants_as_nodes:
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.initializers.append(tensor)
        return name

    def node(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "test", self.inputs, self.outputs, self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)


def run_model(model: onnx.ModelProto, **feeds: np.ndarray) -> dict[str, np.ndarray]:
    """Outputs by name."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def signature(tensors: Sequence[onnx.ValueInfoProto]) -> list[tuple[str, int, list[Any]]]:
    """Name, type and shape of graph inputs or outputs."""
    return [
        (
            tensor.name,
            tensor.type.tensor_type.elem_type,
            [dim.dim_param or dim.dim_value for dim in tensor.type.tensor_type.shape.dim],
        )
        for tensor in tensors
    ]


def pixels(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Random uint8 images ``[count, height, width, 3]``, RGB."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def normalize(
    images: np.ndarray, scale: float = 1 / 255, mean: Sequence[float] = MEAN, std: Any = STD
) -> np.ndarray:
    """Normalized ``[B, 3, h, w]`` of RGB images, in float64."""
    return ((images * scale - np.array(mean)) / np.array(std)).transpose(0, 3, 1, 2)


def keypoint_network(
    height: int = 32,
    width: int = 24,
    *,
    batch: int | str = "N",
    joints: int = JOINTS,
    spoil: str = "",
    heatmap_outputs: int = 1,
    rounded: bool = False,
) -> onnx.ModelProto:
    """A heatmap network with further outputs before the heatmap, as PP-TinyPose has one.

    Args:
        height: Of the image.
        width: Of the image.
        batch: Batch dimension that the graph declares.
        joints: Channels of the heatmap.
        spoil: What makes batches go wrong: ``reshape`` to batch 1, ``mix`` of images,
            ``first`` image only, ``zero`` for all images together.
        heatmap_outputs: How many outputs are heatmaps.
        rounded: Whether one more output is a heatmap of integers.
    """
    graph = Graph()
    graph.input("image", batch, 3, height, width)
    rows, columns = height // HEATMAP_CELL, width // HEATMAP_CELL
    cell = [HEATMAP_CELL] * 2
    graph.node("AveragePool", ["image"], "pooled", kernel_shape=cell, strides=cell)
    weights = joint_weights(joints).reshape(joints, 3, 1, 1)
    graph.node("Conv", ["pooled", graph.constant("weights", weights, np.float32)], "maps")
    if spoil == "reshape":
        shape = graph.constant("shape", [1, joints, rows, columns], np.int64)
        graph.node("Reshape", ["maps", shape], "heatmap0")
    elif spoil == "mix":
        graph.node("ReduceMean", ["maps"], "mean", axes=[0], keepdims=1)
        graph.node("Sub", ["maps", "mean"], "heatmap0")
    elif spoil == "first":
        first = graph.constant("first", [0], np.int64)
        graph.node("Gather", ["maps", first], "heatmap0", axis=0)
    elif spoil == "zero":
        graph.node("ReduceMean", ["maps"], "mean", axes=[0], keepdims=1)
        graph.node("Sub", ["mean", "mean"], "heatmap0")
    else:
        graph.node("Identity", ["maps"], "heatmap0")
    graph.node("ArgMax", ["heatmap0"], "peaks", axis=3, keepdims=0)
    graph.output("pooled", batch, 3, rows, columns)
    if rounded:
        graph.node("Cast", ["heatmap0"], "rounded", to=TensorProto.INT64)
        graph.output("rounded", batch, joints, rows, columns, dtype=TensorProto.INT64)
    graph.output("peaks", batch, joints, rows, dtype=TensorProto.INT64)
    for index in range(heatmap_outputs):
        if index:
            graph.node("Neg", ["heatmap0"], f"heatmap{index}")
        graph.output(f"heatmap{index}", batch, joints, rows, columns)
    return graph.model()


def keypoint_reference(normalized: np.ndarray, joints: int = JOINTS) -> np.ndarray:
    """What `keypoint_network` computes."""
    return np.einsum("kc,nchw->nkhw", joint_weights(joints), _pool(normalized, HEATMAP_CELL))


def joint_weights(joints: int) -> np.ndarray:
    """Weights of any number of joints, which begin again after 17."""
    return np.resize(_JOINT_WEIGHTS, (joints, 3))


def detector_network(
    height: int = 32,
    width: int = 48,
    *,
    classes: int = 1,
    suppression: Suppression | None = None,
    scale_factor: bool = True,
    constants_as_nodes: bool = False,
    limit: str = "minimum",
    suppressions: int = 1,
    extra_input: str = "",
) -> onnx.ModelProto:
    """A detector that ends in non-maximum suppression, as paddle2onnx writes it.

    Args:
        height: Of the image.
        width: Of the image.
        classes: How many are scored.
        suppression: Settings of the suppression.
        scale_factor: Whether it divides boxes by the input ``scale_factor`` (of y, of x).
        constants_as_nodes: Whether constants are nodes instead of initializers.
        limit: How the limit of kept boxes is given: ``minimum`` of it and of the boxes there
            are, ``direct``, or ``computed``.
        suppressions: Number of ``NonMaxSuppression`` nodes.
        extra_input: Name of one more input ``[1, 2]``.
    """
    settings = suppression or Suppression()
    graph = Graph(constants_as_nodes=constants_as_nodes)
    graph.input("image", 1, 3, height, width)
    if extra_input:
        graph.input(extra_input, 1, 2)
    cell = [ANCHOR_CELL] * 2
    graph.node("AveragePool", ["image"], "pooled", kernel_shape=cell, strides=cell)
    _boxes(graph, scale_factor)
    weights = _CLASS_WEIGHTS[:classes].reshape(classes, 3, 1, 1)
    graph.node("Conv", ["pooled", graph.constant("class_weights", weights, np.float32)], "logits")
    shape = graph.constant("class_shape", [0, classes, -1], np.int64)
    graph.node("Sigmoid", [graph.node("Reshape", ["logits", shape], "flat_logits")], "scores")
    for index in range(suppressions):
        limits = [
            graph.constant(f"top_k{index}", [settings.top_k], np.int64),
            graph.constant(f"iou{index}", [settings.iou], np.float32),
            graph.constant(f"score{index}", [settings.score], np.float32),
        ]
        graph.node("NonMaxSuppression", ["boxes", "scores", *limits], f"selected{index}")
    if suppressions:
        _keep_best(graph, settings.keep, limit, (height // ANCHOR_CELL) * (width // ANCHOR_CELL))
    else:
        graph.output("boxes", 1, None, 4)
    return graph.model()


def detector_reference(normalized: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What `detector_network` computes: boxes ``[B, A, 4]`` and scores ``[B, 8, A]``."""
    pooled = _pool(normalized, ANCHOR_CELL).reshape(len(normalized), 3, -1)
    boxes = np.einsum("kc,nca->nak", _BOX_WEIGHTS, pooled)
    logits = np.einsum("kc,nca->nka", _CLASS_WEIGHTS, pooled)
    return boxes, (1 + np.tanh(logits / 2)) / 2


def inference_yml(role: str, height: int, width: int, **changes: Any) -> dict[str, Any]:
    """Content of an ``inference.yml``.

    Args:
        role: ``detector`` or ``keypoint``.
        height: Of the image.
        width: Of the image.
        changes: New values, by ``key`` or ``Step__key``; None removes a key.
    """
    detector = {"type": "Resize", "target_size": [height, width], "keep_ratio": False, "interp": 2}
    affine = {"type": "TopDownEvalAffine", "trainsize": [width, height]}
    normalization = {"type": "NormalizeImage", "is_scale": True, "mean": MEAN, "std": STD}
    content: dict[str, Any] = {
        "mode": "paddle",
        "draw_threshold": 0.5,
        "Global": {"model_name": "PicoDet-S" if role == "detector" else "PP-TinyPose_32x24"},
        "arch": "GFL" if role == "detector" else "HRNet",
        "Preprocess": [
            detector if role == "detector" else affine,
            normalization,
            {"type": "Permute"},
        ],
        "label_list": ["pedestrian"] if role == "detector" else ["keypoint"],
    }
    content = copy.deepcopy(content)
    steps = {step["type"]: step for step in content["Preprocess"]}
    for path, value in changes.items():
        step, _, key = path.rpartition("__")
        place = content if not step else content["Global"] if step == "Global" else steps[step]
        if value is None:
            del place[key]
        else:
            place[key] = value
    return content


def write_model_directory(
    directory: Path, model: onnx.ModelProto | None, yml: Mapping[str, Any] | None
) -> Path:
    """Write ``inference.onnx`` and ``inference.yml``, or only one of them."""
    directory.mkdir(parents=True, exist_ok=True)
    if model is not None:
        onnx.save(model, directory / "inference.onnx")
    if yml is not None:
        (directory / "inference.yml").write_text(yaml.safe_dump(dict(yml)))
    return directory


def _pool(x: np.ndarray, cell: int) -> np.ndarray:
    batch, channels, height, width = x.shape
    blocks = x.reshape(batch, channels, height // cell, cell, width // cell, cell)
    return blocks.mean(axis=(3, 5))


def _boxes(graph: Graph, scale_factor: bool) -> None:
    """Boxes from the pooled image, divided by the scale factor where there is one."""
    weights = graph.constant("box_weights", _BOX_WEIGHTS.reshape(4, 3, 1, 1), np.float32)
    graph.node("Conv", ["pooled", weights], "box_maps")
    shape = graph.constant("box_shape", [0, 4, -1], np.int64)
    graph.node("Reshape", ["box_maps", shape], "box_rows")
    plain = graph.node("Transpose", ["box_rows"], "plain_boxes", perm=[0, 2, 1])
    if not scale_factor:
        graph.node("Identity", [plain], "boxes")
        return
    graph.input("scale_factor", 1, 2)
    order = graph.constant("xyxy", [1, 0, 1, 0], np.int64)
    graph.node("Gather", ["scale_factor", order], "factors", axis=1)
    shape = graph.constant("factor_shape", [-1, 1, 4], np.int64)
    graph.node("Reshape", ["factors", shape], "box_factors")
    graph.node("Div", [plain, "box_factors"], "boxes")


def _keep_best(graph: Graph, keep: int, limit: str, anchors: int) -> None:
    """The top-k after the suppression; the only output is what it keeps: class, score, box."""
    for name, column in (("class", 1), ("box", 2)):
        index = graph.constant(f"{name}_column", column, np.int64)
        graph.node("Gather", ["selected0", index], name, axis=1)
    graph.node("Mul", ["class", graph.constant("anchors", anchors, np.int64)], "row")
    graph.node("Add", ["row", "box"], "candidates")
    flat = graph.constant("flat", [-1], np.int64)
    graph.node("Reshape", ["scores", flat], "flat_scores")
    graph.node("Gather", ["flat_scores", "candidates"], "candidate_scores")
    bound = graph.constant("keep", [keep], np.int64)
    graph.node("Shape", ["candidate_scores"], "available")
    if limit == "minimum":
        graph.node("Concat", ["available", bound], "bounds", axis=0)
        bound = graph.node("ReduceMin", ["bounds"], "bound", keepdims=1)
    elif limit == "computed":
        bound = "available"
    graph.nodes.append(
        helper.make_node("TopK", ["candidate_scores", bound], ["best", "positions"], sorted=1)
    )
    table = graph.constant("table", [-1, 1], np.int64)
    graph.node("Gather", ["class", "positions"], "best_class")
    graph.node("Cast", ["best_class"], "best_label", to=TensorProto.FLOAT)
    graph.node("Reshape", ["best_label", table], "labels")
    graph.node("Reshape", ["best", table], "confidences")
    rows = graph.constant("rows", [-1, 4], np.int64)
    graph.node("Gather", ["box", "positions"], "best_box")
    graph.node("Gather", [graph.node("Reshape", ["boxes", rows], "flat_boxes"), "best_box"], "kept")
    graph.node("Concat", ["labels", "confidences", "kept"], "detections", axis=1)
    graph.output("detections", None, 6)
