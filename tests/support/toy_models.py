"""A detector that finds one box in every image, and the keypoint model beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import quantizable_model
from composing_models import DETECTOR_PARAMETERS
from tritonpose.config import PipelineConfig
from tritonpose.transport.messages import InferRequest
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.local.engine import LocalEngine
from tritonpose_server.local.options import LocalOptions
from tritonpose_server.models.choice import ModelChoice
from tritonpose_server.models.store import ModelFiles, ModelStore
from tritonpose_server.models.triton_config import make_config

BOX = (4.0, 2.0, 40.0, 30.0)
"""In pixels of the detector's input, 48 wide and 32 high."""


def toy_detector() -> onnx.ModelProto:
    """Its outputs depend on the image by nothing but a product with 0."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Reshape", ["nothing", "to_boxes"], ["no_boxes"]),
        helper.make_node("Reshape", ["nothing", "to_scores"], ["no_scores"]),
        helper.make_node("Add", ["no_boxes", "box"], ["boxes"]),
        helper.make_node("Add", ["no_scores", "score"], ["scores"]),
    ]
    initializers = {
        "zero": np.zeros(1, np.float32),
        "to_boxes": np.array([-1, 1, 1]),
        "to_scores": np.array([-1, 1]),
        "box": np.array([[BOX]], np.float32),
        "score": np.array([[0.75]], np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["b", 32, 48, 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["b", 1, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["b", 1]),
        ],
        [numpy_helper.from_array(value, name) for name, value in initializers.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)


def install_toys(root: Path) -> ModelChoice:
    """Put both models into a store."""
    store, detector = ModelStore(root), toy_detector()
    config = make_config("toy-detector", detector, DETECTOR_PARAMETERS, max_batch_size=4)
    provenance = {"source": "made up"}
    models = (
        store.add("toy-detector", ModelFiles(detector, config, provenance)),
        quantizable_model.install(store),
    )
    return ModelChoice(models, PipelineSettings("toy-detector", models[1].name))


def count_boxes(choice: ModelChoice) -> int:
    """Find people with a new local engine; child processes import this module, unlike tests."""
    engine = LocalEngine(PipelineConfig(), LocalOptions("openvino"), 60, lambda *_, **__: choice)
    return len(engine.infer(InferRequest(frame=np.zeros((64, 96, 3), np.uint8)), 1.0).boxes)
