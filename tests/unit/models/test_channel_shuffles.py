"""Channel shuffles absorbed into the order of weights: same results, other graphs untouched."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import reference_data
from paddle_networks import inference_yml, write_model_directory
from quantizable_model import images, quantizable_model
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph.channels import shuffles
from tritonpose_server.models.graph.channels.shuffles import absorb_shuffles
from tritonpose_server.models.graph.half_precision import to_half
from tritonpose_server.models.graph.keypoint_graph import servable_keypoint_model
from tritonpose_server.models.graph.model_graph import add_preprocessing
from tritonpose_server.models.graph.onnx_graph import load_model
from tritonpose_server.models.paddle.inference_yml import Normalization, read_inference_yml
from tritonpose_server.models.paddle.install import (
    KEEP_VARIABLE,
    install_paddle_model,
    keeps_shuffles,
)
from tritonpose_server.models.store import ModelStore

HEIGHT, WIDTH = 32, 24
BATCH = np.stack(images(2))
NORMALIZATION = Normalization(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Network:
    """Writes networks with random weights; each method adds nodes and returns their result."""

    def __init__(self, seed: int = 1) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, npt.NDArray[Any]] = {}

    def constant(self, value: npt.ArrayLike, kind: type = np.int64) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(value, kind)
        return name

    def random(self, *shape: int) -> str:
        spread = np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 1.0
        return self.constant(self.rng.normal(size=shape) / spread, np.float32)

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def conv(self, x: str, cin: int, cout: int, size: int = 1, stride: int = 1) -> str:
        weights = self.random(cout, cin, size, size), self.random(cout)
        pads = [size // 2] * 4
        x = self.node("Conv", x, *weights, strides=[stride] * 2, pads=pads)
        variance = self.constant(self.rng.uniform(0.5, 2, cout), np.float32)
        parameters = [self.random(cout), self.random(cout), self.random(cout), variance]
        return self.node("BatchNormalization", x, *parameters)

    def depthwise(self, x: str, channels: int, stride: int = 1) -> str:
        weight, strides = self.random(channels, 1, 3, 3), [stride] * 2
        return self.node("Conv", x, weight, group=channels, pads=[1] * 4, strides=strides)

    def shuffle(self, x: str, channels: int, groups: int, sides: tuple[int, ...]) -> str:
        """As Paddle's exporter writes it, with the number of images read from the tensor."""
        size = int(np.prod(sides))
        first = [0, groups, channels // groups, *sides]
        rank = len(first)
        x = self.node("Reshape", x, self.constant(first))
        x = self.node("Transpose", x, perm=[0, 2, 1, *range(3, rank)])
        assert size == HEIGHT * WIDTH // 16
        return self.node("Reshape", x, self.constant([0, channels, HEIGHT // 4, WIDTH // 4]))

    def halves(self, x: str, channels: int) -> tuple[str, str]:
        half = channels // 2
        name = f"Split{len(self.nodes)}"
        sizes = self.constant([half, channels - half])
        outputs = [f"{name}/0", f"{name}/1"]
        self.nodes.append(helper.make_node("Split", [x, sizes], outputs, axis=1))
        return outputs[0], outputs[1]

    def block(self, x: str, channels: int, groups: int = 2, flat: bool = False) -> str:
        """ShuffleNet's: half of the channels through convolutions, then both halves mixed."""
        half = channels // 2
        left, right = self.halves(x, channels)
        right = self.node("Relu", self.conv(right, half, half))
        right = self.conv(self.depthwise(right, half), half, half)
        x = self.node("Concat", left, self.node("Relu", right), axis=1)
        sides = (HEIGHT * WIDTH // 16,) if flat else (HEIGHT // 4, WIDTH // 4)
        return self.shuffle(x, channels, groups, sides)

    def stem(self, channels: int) -> str:
        return self.node("Relu", self.conv("x", 3, channels, size=4 - 1, stride=4))

    def model(self, x: str, joints: int = 5) -> onnx.ModelProto:
        """With ``x`` as the heatmap, of an image ``x``."""
        self.nodes.append(helper.make_node("Identity", [x], ["y"]))
        shape: list[str | int | None] = ["b", joints, HEIGHT // 4, WIDTH // 4]
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 3, HEIGHT, WIDTH])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
            [numpy_helper.from_array(value, name) for name, value in self.weights.items()],
        )
        opsets = [helper.make_opsetid("", 16)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def servable(self, x: str) -> onnx.ModelProto:
        """With preprocessing."""
        return add_preprocessing(self.model(x), {"y": "heatmap"}, NORMALIZATION)


def plain(net: Network) -> str:
    x = net.stem(20)
    for _ in range(4):
        x = net.block(x, 20)
    return net.conv(x, 20, 5)


def odd_sizes(net: Network) -> str:
    """Halves that no power of two divides, and a shuffle of three groups, written flat."""
    x = net.stem(18)
    for groups in (2, 3, 2):
        x = net.block(x, 18, groups, flat=True)
    return net.conv(x, 18, 5)


def fused_scales(net: Network) -> str:
    """As Lite-HRNet does: branches of two sizes, added to each other between the blocks."""
    x = net.stem(16)
    small = net.node("Relu", net.conv(net.depthwise(x, 16, stride=2), 16, 16))
    for _ in range(2):
        x = net.block(net.block(x, 16), 16)
        scales = net.constant([1, 1, 2, 2], np.float32)
        large = net.node("Resize", net.conv(small, 16, 16), "", scales, mode="nearest")
        fused = net.node("Add", net.node("Add", x, x), large)
        small = net.node("Add", net.conv(net.depthwise(fused, 16, stride=2), 16, 16), small)
        x = net.node("Relu", fused)
    return net.conv(x, 16, 5)


def attention(net: Network) -> str:
    """Squeeze and excitation of what was shuffled, other activations, weights per channel."""
    x = net.block(net.stem(16), 16)
    weight = net.node("GlobalAveragePool", x)
    weight = net.node("Relu", net.conv(weight, 16, 4))
    weight = net.node("Sigmoid", net.conv(weight, 4, 16))
    x = net.node("HardSwish", net.node("Mul", x, weight))
    x = net.block(net.node("PRelu", x, net.random(16, 1, 1)), 16)
    x = net.node("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4)
    x = net.node("Add", x, net.random(1, 16, 1, 1))
    x = net.node("Clip", x, net.constant(-1, np.float32), net.constant(6, np.float32))
    return net.conv(x, 16, 5)


def slices(net: Network) -> str:
    """Halves by slices and by gathers, every second channel, backwards."""
    x = net.block(net.stem(16), 16)
    one, axis = net.constant([1]), net.constant([1])
    left = net.node("Slice", x, net.constant([0]), net.constant([8]), axis, one)
    right = net.node("Slice", x, net.constant([8]), net.constant([1 << 62]), axis)
    other = net.node("Slice", x, net.constant([-1]), net.constant([-99]), axis, net.constant([-2]))
    picked = net.node("Gather", x, net.constant([3, 1, 2, 0]), axis=1)
    right = net.conv(net.node("Concat", right, other, picked, axis=1), 20, 8)
    x = net.block(net.node("Concat", left, right, axis=1), 16)
    return net.conv(x, 16, 5)


def repeated(net: Network) -> str:
    """The same channels read twice by one convolution, and by a depthwise one."""
    x = net.block(net.block(net.stem(8), 8), 8)
    x = net.node("Concat", x, x, axis=1)
    return net.node("Add", net.conv(x, 16, 5), net.conv(net.depthwise(x, 16), 16, 5))


def unknown_between(net: Network) -> str:
    """An operator that is not known reads what was shuffled, in its order."""
    x = net.block(net.block(net.stem(16), 16), 16)
    shifts = net.constant([0, 0, 0, 0, 0, 1, 0, 0])
    x = net.node("Pad", x, shifts)
    x = net.node("Slice", x, net.constant([0]), net.constant([16]), net.constant([1]))
    return net.conv(net.block(x, 16), 16, 5)


def conflict(net: Network) -> str:
    """Two shuffled tensors added, whose channels can't all lie where both need them."""
    first = net.block(net.block(net.stem(12), 12), 12)
    second = net.block(net.block(net.block(net.node("Relu", first), 12), 12, 3), 12)
    return net.conv(net.node("Add", first, second), 12, 5)


NETWORKS = (
    plain,
    odd_sizes,
    fused_scales,
    attention,
    slices,
    repeated,
    unknown_between,
    conflict,
)


def kinds(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def run(model: onnx.ModelProto) -> npt.NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return np.asarray(session.run(None, {"image": BATCH})[0])


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_results_are_the_same_without_shuffles(build: Any) -> None:
    net = Network()
    servable = net.servable(build(net))
    before = servable.SerializeToString()
    model, note = absorb_shuffles(servable)
    assert servable.SerializeToString() == before
    assert note is not None
    # Only that of the preprocessing.
    assert kinds(model)["Transpose"] == 1, note
    expected = run(servable)
    np.testing.assert_allclose(run(model), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("build", [fused_scales, attention], ids=lambda build: build.__name__)
def test_engines_agree_on_what_is_made(build: Any) -> None:
    """Each on its own: what one engine computes right, another one may not."""
    net = Network(7)
    servable = net.servable(build(net))
    model, _ = absorb_shuffles(servable)
    expected = np.asarray(ReferenceEvaluator(servable).run(None, {"image": BATCH})[0])
    tolerance = 2e-5 * np.abs(expected).max()
    reference = np.asarray(ReferenceEvaluator(model).run(None, {"image": BATCH})[0])
    np.testing.assert_allclose(reference, expected, atol=tolerance)
    core = openvino.Core()
    for batch in (1, 2):
        read = core.read_model(model.SerializeToString())
        read.reshape([batch, HEIGHT, WIDTH, 3])
        compiled = core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = compiled(BATCH[:batch]).to_tuple()[0]
        np.testing.assert_allclose(found, expected[:batch], atol=tolerance)


def test_fused_scales_need_no_more_operations() -> None:
    """What was shuffled is only brought together in pieces, and never channel by channel."""
    net = Network()
    servable = net.servable(fused_scales(net))
    model, note = absorb_shuffles(servable)
    found = kinds(model)
    assert "4 channel shuffles absorbed" in str(note)
    assert (found["Gather"], found["Reshape"], found["Split"]) == (0, 0, 0)
    # Nobody reads the smaller branch in the end.
    assert found["Conv"] == kinds(servable)["Conv"] - 2


def test_what_nobody_reads_is_dropped() -> None:
    net = Network()
    x = net.block(net.stem(16), 16)
    net.conv(x, 16, 16)
    model, _ = absorb_shuffles(net.servable(net.conv(x, 16, 5)))
    assert kinds(model)["Conv"] == 5


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_models_without_shuffles_are_untouched(precision: str) -> None:
    model = quantizable_model()
    if precision == "fp16":
        net = Network()
        model = to_half(net.servable(plain(net)))
    assert absorb_shuffles(model) == (model, None)


def test_a_transpose_of_pixels_is_no_shuffle() -> None:
    """Of the same operators, but across rows, or between groups and rows."""
    net = Network()
    x = net.stem(16)
    x = net.node("Reshape", x, net.constant([0, 16, 2, 4, 6]))
    x = net.node("Transpose", x, perm=[0, 2, 1, 3, 4])
    x = net.node("Reshape", x, net.constant([0, 16, 8, 6]))
    model = net.servable(net.conv(x, 16, 5))
    assert absorb_shuffles(model) == (model, None)


def test_models_that_would_not_get_simpler_stay() -> None:
    net = Network()
    x = net.block(net.stem(16), 16)
    # Nothing can be put into weights before an operator that is not known.
    x = net.node("LRN", x, size=3)
    model = net.servable(net.conv(x, 16, 5))
    found, note = absorb_shuffles(model)
    assert found is model
    assert "1 channel shuffles stay" in str(note)


def test_results_that_differ_leave_the_model_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Network()
    model = net.servable(plain(net))
    monkeypatch.setattr(shuffles, "_TOLERANCE", -1.0)
    found, note = absorb_shuffles(model)
    assert found is model
    assert "results differ by" in str(note)


@pytest.mark.parametrize(
    ("value", "keeps"), [(None, False), ("", False), ("0", False), ("1", True)]
)
def test_the_switch(value: str | None, keeps: bool) -> None:
    assert keeps_shuffles({} if value is None else {KEEP_VARIABLE: value}) is keeps


def test_a_switch_that_is_not_clear() -> None:
    with pytest.raises(ConversionError, match=r"TRITONPOSE_KEEP_SHUFFLES must be 0 or 1.*'yes'"):
        keeps_shuffles({KEEP_VARIABLE: "yes"})


def test_installation(tmp_path: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without shuffles by default; the switch makes another model, or replaces that of a name."""
    net, lines = Network(), list[str]()
    yml = inference_yml("keypoint", HEIGHT, WIDTH)
    source = write_model_directory(tmp_path / "source", net.model(plain(net)), yml)
    (source / "keypoints.yml").write_text("names: [a, b, c, d, e]")

    def install(**options: Any) -> tuple[str, int, str | None]:
        place = install_paddle_model(source, "keypoint", store, progress=lines.append, **options)
        provenance = json.loads((place / "provenance.json").read_text())
        transposes = kinds(onnx.load(place / "1" / "model.onnx"))["Transpose"]
        return place.name, transposes, provenance.get("shuffles")

    name, transposes, made = install()
    assert (transposes, made) == (1, None)
    assert any("4 channel shuffles absorbed" in line for line in lines)
    assert install(name="mine") == ("mine", 1, None)
    monkeypatch.setenv(KEEP_VARIABLE, "1")
    other, transposes, made = install()
    assert other != name
    assert (transposes, made) == (5, "kept")
    assert install(name="mine") == ("mine", 5, "kept")
    monkeypatch.delenv(KEEP_VARIABLE)
    assert install(name="mine") == ("mine", 1, None)


@reference_data.needed
@pytest.mark.parametrize("name", ["PP-TinyPose_128x96", "PP-TinyPose_256x192"])
def test_pp_tinypose(name: str) -> None:
    place: Path = reference_data.ROOT / "models" / name
    yml = read_inference_yml(place / "inference.yml")
    servable = servable_keypoint_model(load_model(place / "inference.onnx"), yml)
    model, note = absorb_shuffles(servable)
    assert "49 channel shuffles absorbed" in str(note)
    assert (kinds(model)["Gather"], kinds(model)["Transpose"]) == (0, 1)
