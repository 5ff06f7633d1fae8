"""A small keypoint model with every kind of convolution that quantisation tells apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from google.protobuf import json_format, text_format
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tritonpose_server.models.graph.model_graph import add_preprocessing
from tritonpose_server.models.paddle.inference_yml import Normalization
from tritonpose_server.models.store import ModelFiles, ModelStore
from tritonpose_server.models.triton_config import keypoint_parameters, make_config

HEIGHT, WIDTH = 32, 24
SOURCE: Mapping[str, object] = {"source": "made up", "agreement": {"images": 4}}


def quantizable_model(channels: int = 32) -> onnx.ModelProto:
    """A model whose second and last convolutions are dense and have ``channels`` inputs."""
    rng = np.random.default_rng(5)
    nodes, initializers = [], []

    def convolution(source: str, name: str, shape: tuple[int, ...], **attributes: object) -> None:
        weight = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        initializers.append(numpy_helper.from_array(weight.astype(np.float32), f"{name}/weight"))
        # As Paddle's exporter does, which hides that the weight is a constant.
        nodes.append(helper.make_node("Identity", [f"{name}/weight"], [f"{name}/identity"]))
        nodes.append(helper.make_node("Conv", [source, f"{name}/identity"], [name], **attributes))

    convolution("x", "stem", (channels, 3, 4, 4), strides=[4, 4])
    nodes.append(helper.make_node("Relu", ["stem"], ["stem/relu"]))
    convolution("stem/relu", "dense", (channels, channels, 1, 1))
    convolution("dense", "depthwise", (channels, 1, 3, 3), group=channels, pads=[1, 1, 1, 1])
    nodes.append(helper.make_node("HardSwish", ["depthwise"], ["swish"]))
    convolution("swish", "y", (17, channels, 1, 1))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 17, HEIGHT // 4, WIDTH // 4])],
        initializers,
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    normalization = Normalization(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return add_preprocessing(network, {"y": "heatmap"}, normalization)


def install(
    store: ModelStore,
    name: str = "toy",
    servable: onnx.ModelProto | None = None,
    backend: str = "openvino",
) -> Path:
    """Put a model into a store."""
    model = servable or quantizable_model()
    parameters = keypoint_parameters(flip_shift=True, use_udp=False)
    config = make_config(name, model, parameters, max_batch_size=8)
    config.backend = backend
    return store.add(name, ModelFiles(model, config, SOURCE))


def triton_arguments(
    model: Path, kind: str = "CPU", device: int = 0, **parameters: str
) -> dict[str, str]:
    """What Triton gives the backend of an installed model, with some parameters changed."""
    config = text_format.Parse((model / "config.pbtxt").read_text(), ModelConfig())
    for key, value in parameters.items():
        config.parameters[key].string_value = value
    return {
        "model_config": json_format.MessageToJson(config, preserving_proto_field_name=True),
        "model_repository": str(model),
        "model_version": "1",
        "model_instance_kind": kind,
        "model_instance_device_id": str(device),
    }


def images(count: int, *, seed: int = 0, values: tuple[int, int] = (0, 256)) -> list[np.ndarray]:
    """Inputs of the model with random values from the first up to the second."""
    rng = np.random.default_rng(seed)
    return list(rng.integers(*values, (count, HEIGHT, WIDTH, 3), dtype=np.uint8))
