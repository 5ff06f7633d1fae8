"""Networks that are not in PaddleX's own form are read, or refused with what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from paddle_networks import (
    detector_network,
    detector_reference,
    inference_yml,
    keypoint_network,
    keypoint_reference,
    normalize,
    pixels,
    run_model,
    write_model_directory,
)
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.paddle.install import install_paddle_model
from tritonpose_server.models.store import ModelStore


def install(
    store: ModelStore, folder: Path, network: onnx.ModelProto, role: str = "keypoint", **yml: Any
) -> onnx.ModelProto:
    width = 24 if role == "keypoint" else 48
    write_model_directory(folder, network, inference_yml(role, 32, width, **yml))
    model = install_paddle_model(folder, None, store)
    return onnx.load(model / "1" / "model.onnx")


def expect_heatmaps(model: onnx.ModelProto, accuracy: float = 1e-5, joints: int = 17) -> None:
    images = pixels(3, 32, 24)
    heatmaps = run_model(model, image=images)["heatmap"]
    assert heatmaps.dtype == np.float32
    expected = keypoint_reference(normalize(images))[:, :joints]
    assert np.abs(heatmaps - expected).max() <= accuracy * np.abs(expected).max()


def with_types(network: onnx.ModelProto, element_type: int) -> onnx.ModelProto:
    """The same network with inputs, outputs and weights of another type."""
    for tensor in [*network.graph.input, *network.graph.output]:
        if tensor.type.tensor_type.elem_type == TensorProto.FLOAT:
            tensor.type.tensor_type.elem_type = element_type
    for weights in network.graph.initializer:
        if weights.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(weights)
            dtype = helper.tensor_dtype_to_np_dtype(element_type)
            weights.CopyFrom(numpy_helper.from_array(values.astype(dtype), weights.name))
    return network


def taking(network: onnx.ModelProto, element_type: int) -> onnx.ModelProto:
    """The same network with an image of another type."""
    (image,) = network.graph.input
    image.type.tensor_type.elem_type = element_type
    for node in network.graph.node:
        node.input[:] = ["as_float" if name == image.name else name for name in node.input]
    cast = helper.make_node("Cast", [image.name], ["as_float"], to=TensorProto.FLOAT)
    network.graph.node.insert(0, cast)
    return network


def test_half_precision(tmp_path: Path, store: ModelStore) -> None:
    network = with_types(keypoint_network(), TensorProto.FLOAT16)
    expect_heatmaps(install(store, tmp_path, network), 5e-3)


def test_double_precision(tmp_path: Path, store: ModelStore) -> None:
    """Inputs and outputs are read; nothing runs networks that compute in it."""
    network = taking(keypoint_network(), TensorProto.DOUBLE)
    for tensor in network.graph.output:
        if tensor.type.tensor_type.elem_type == TensorProto.FLOAT:
            name = tensor.name
            tensor.name, tensor.type.tensor_type.elem_type = f"{name}_64", TensorProto.DOUBLE
            network.graph.node.append(
                helper.make_node("Cast", [name], [tensor.name], to=TensorProto.DOUBLE)
            )
    expect_heatmaps(install(store, tmp_path / "a", network))
    with pytest.raises(ConversionError, match="in float32"):
        install(store, tmp_path / "b", with_types(keypoint_network(), TensorProto.DOUBLE))


def test_half_precision_inside(tmp_path: Path, store: ModelStore) -> None:
    """Inputs and outputs are FP32, what is between rounds by itself."""
    network = with_types(keypoint_network(), TensorProto.FLOAT16)
    for tensor in network.graph.output:
        if tensor.type.tensor_type.elem_type == TensorProto.FLOAT16:
            name = tensor.name
            tensor.name, tensor.type.tensor_type.elem_type = f"{name}_32", TensorProto.FLOAT
            network.graph.node.append(
                helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT)
            )
    (image,) = network.graph.input
    image.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in network.graph.node:
        node.input[:] = ["half" if name == image.name else name for name in node.input]
    # As a tool of ONNX Runtime's writes it: not in the order of use.
    network.graph.node.append(
        helper.make_node("Cast", [image.name], ["half"], to=TensorProto.FLOAT16)
    )
    expect_heatmaps(install(store, tmp_path, network), 5e-3)


@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize(
    ("spoil", "last_follows"), [("", False), ("reshape", False), ("reshape", True)]
)
def test_fixed_batches(
    tmp_path: Path, store: ModelStore, batch: int, spoil: str, last_follows: bool
) -> None:
    network = keypoint_network(batch=batch, spoil=spoil)
    for weights in network.graph.initializer:
        if weights.name == "shape":
            shape = numpy_helper.to_array(weights).copy()
            shape[0] = batch
            shape[-1] = -1 if last_follows else shape[-1]
            weights.CopyFrom(numpy_helper.from_array(shape, "shape"))
    model = install(store, tmp_path, network)
    if batch > 1 or not spoil:
        expect_heatmaps(model)
        return
    images = pixels(1, 32, 24)
    np.testing.assert_allclose(
        run_model(model, image=images)["heatmap"],
        keypoint_reference(normalize(images)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_a_batch_that_stands_in_the_nodes(tmp_path: Path, store: ModelStore) -> None:
    network = keypoint_network(batch=4, spoil="first")
    index = next(w for w in network.graph.initializer if w.name == "first")
    index.CopyFrom(numpy_helper.from_array(np.array([0, 1, 2, 3]), "first"))
    with pytest.raises(ConversionError, match="exported for a fixed number of images"):
        install(store, tmp_path, network)


def test_open_shapes(tmp_path: Path, store: ModelStore) -> None:
    network = keypoint_network()
    for tensor in [*network.graph.input, *network.graph.output]:
        for dim in tensor.type.tensor_type.shape.dim:
            dim.Clear()
    expect_heatmaps(install(store, tmp_path, network))


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 20])
def test_versions_of_operators(tmp_path: Path, store: ModelStore, opset: int) -> None:
    network = keypoint_network()
    network.opset_import[0].version = opset
    expect_heatmaps(install(store, tmp_path, network))


def test_names_and_order_do_not_matter(tmp_path: Path, store: ModelStore) -> None:
    network = onnx.compose.add_prefix(keypoint_network(), "sub/")
    outputs = list(network.graph.output)[::-1]
    del network.graph.output[:]
    network.graph.output.extend(outputs)
    expect_heatmaps(install(store, tmp_path, network))


@pytest.mark.parametrize("joints", [1, 5, 16])
def test_any_number_of_joints(tmp_path: Path, store: ModelStore, joints: int) -> None:
    network = keypoint_network(joints=joints)
    del network.graph.output[0]  # of as many pixels, but no heatmap
    expect_heatmaps(install(store, tmp_path, network), joints=joints)


def test_pixels_as_they_are(tmp_path: Path, store: ModelStore) -> None:
    """A network that takes whole numbers does the normalization itself, if there is one."""
    network = taking(keypoint_network(), TensorProto.UINT8)
    with pytest.raises(ConversionError, match=r"`image` UINT8 .* Remove NormalizeImage there if"):
        install(store, tmp_path / "a", network)
    yml = {"NormalizeImage__norm_type": "none", "NormalizeImage__is_scale": False}
    model = install(store, tmp_path / "b", network, **yml)
    images = pixels(2, 32, 24)
    expected = keypoint_reference(normalize(images, 1, [0, 0, 0], [1, 1, 1]))
    np.testing.assert_allclose(run_model(model, image=images)["heatmap"], expected, rtol=1e-3)


def test_a_third_input(tmp_path: Path, store: ModelStore) -> None:
    """PaddleDetection's networks limit boxes to `im_shape`."""
    network = detector_network(32, 48, extra_input="im_shape")
    model = install(store, tmp_path, network, "detector")
    assert [tensor.name for tensor in model.graph.input] == ["image"]
    images = pixels(2, 32, 48)
    boxes, _ = detector_reference(normalize(images))
    np.testing.assert_allclose(run_model(model, image=images)["boxes"], boxes, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "element_type", "words"),
    [
        ([1, 32, 24, 3], TensorProto.FLOAT, r"FLOAT \[1, 32, 24, 3\] .* its channels are last"),
        ([1, 1, 32, 24], TensorProto.FLOAT, r"FLOAT \[1, 1, 32, 24\] .* color images"),
        ([1, 4, 32, 24], TensorProto.FLOAT, "only networks for color images"),
        (
            [3, 32, 24],
            TensorProto.FLOAT,
            r"one image input .* `image` FLOAT \[3, 32, 24\]",
        ),
        ([1, 3, 32, 24], TensorProto.INT8, r"`image` INT8 .*Export the network with a float32"),
        ([1, 3, 32, 24], TensorProto.BOOL, "BOOL"),
    ],
)
def test_images_that_can_not_be_filled(
    tmp_path: Path, store: ModelStore, shape: list[int], element_type: int, words: str
) -> None:
    network = keypoint_network()
    image = helper.make_tensor_value_info("image", element_type, shape)
    network.graph.input[0].CopyFrom(image)
    with pytest.raises(ConversionError, match=words):
        install(store, tmp_path, network)
    assert store.names() == []


def test_operators_of_others(tmp_path: Path, store: ModelStore) -> None:
    network = keypoint_network()
    network.graph.node[1].domain = "elsewhere"
    network.opset_import.append(helper.make_opsetid("elsewhere", 3))
    with pytest.raises(ConversionError, match=r"can't run the model .* ai.onnx 16, elsewhere 3"):
        install(store, tmp_path, network)


def test_yml_in_another_encoding(tmp_path: Path, store: ModelStore) -> None:
    content = inference_yml("detector", 32, 48, label_list=["行人"])
    write_model_directory(tmp_path, detector_network(32, 48), None)
    text = yaml.safe_dump(content, allow_unicode=True)
    (tmp_path / "inference.yml").write_text(text, "gbk")
    with pytest.raises(ConversionError, match="isn't valid YAML in UTF-8"):
        install_paddle_model(tmp_path, None, store)
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "inference.yml").write_text(text, encoding)
        assert install_paddle_model(tmp_path, None, store).is_dir()
