"""Variants of models that compute in less than FP32."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from quantizable_model import HEIGHT, WIDTH, images, install, quantizable_model
from tritonpose_pipeline.repository import read_config
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.precision import make_bf16, make_int8, stale_facts
from tritonpose_server.models.store import ModelStore, digest_files


@pytest.fixture
def store(store: ModelStore) -> ModelStore:
    """Holds the model ``toy``."""
    install(store)
    return store


@pytest.fixture
def toy(store: ModelStore) -> Path:
    return store.path("toy")


def model_file(model: Path) -> Path:
    return model / "1" / "model.onnx"


def run(model: onnx.ModelProto, batch: Sequence[np.ndarray]) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"image": np.stack(batch)})[0])


def error(store: ModelStore, variant: Path, batch: Sequence[np.ndarray]) -> float:
    """Root mean square of a variant's error, relative to that of the result."""
    expected = run(onnx.load(model_file(store.path("toy"))), batch)
    difference = run(onnx.load(model_file(variant)), batch) - expected
    return float(np.sqrt(np.square(difference).mean() / np.square(expected).mean()))


def config_of(model: Path) -> ModelConfig:
    return read_config(model / "config.pbtxt")


# --- INT8 ---


def test_what_is_quantized(store: ModelStore) -> None:
    """Neither the first convolution nor the depthwise one."""
    graph = onnx.load(model_file(make_int8(store, "toy", images(4)))).graph
    producers = {output: node.op_type for node in graph.node for output in node.output}
    inputs = [producers[node.input[0]] for node in graph.node if node.op_type == "Conv"]
    assert inputs == ["Transpose", "DequantizeLinear", "Conv", "DequantizeLinear"]
    integers = [tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    weights = [tensor for tensor in integers if len(tensor.dims) == 4]
    assert [list(tensor.dims) for tensor in weights] == [[32, 32, 1, 1], [17, 32, 1, 1]]
    for tensor in weights:
        assert np.abs(onnx.numpy_helper.to_array(tensor)).max() <= 64


def test_calibration_decides_the_ranges(store: ModelStore) -> None:
    photos = images(8, seed=4)
    with_photos = error(store, make_int8(store, "toy", images(8)), photos)
    # Gray is near zero after normalization: what photos hold lies outside such narrow ranges.
    gray = images(8, values=(110, 120))
    with_gray = error(store, make_int8(store, "toy", gray), photos)
    # Two layers of 8-bit activations and 7-bit weights: a few percent.
    assert 0.001 < with_photos < 0.03
    assert with_gray > 5 * with_photos


def test_int8_model(store: ModelStore, toy: Path) -> None:
    calibration = images(4)
    variant = make_int8(store, "toy", calibration)
    assert variant == store.path("toy-int8")
    expected = config_of(toy)
    expected.name = "toy-int8"
    assert config_of(variant) == expected
    pixels = hashlib.sha256(np.stack(calibration).tobytes()).hexdigest()
    assert store.provenance("toy-int8") == {
        "source": "made up",
        "base": "toy",
        "base_sha256": digest_files(model_file(toy)),
        "precision": "int8",
        "calibration_inputs": 4,
        "calibration_sha256": pixels,
        "quantizer": f"onnxruntime {onnxruntime.__version__}",
    }


@pytest.mark.parametrize(
    ("calibration", "words"),
    [
        ([], "there is no calibration input"),
        (
            [*images(1), np.zeros((HEIGHT, WIDTH + 1, 3), np.uint8)],
            r"calibration input 1 is uint8 \[32, 25, 3\], the model takes uint8 \[32, 24, 3\]",
        ),
        ([np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)], r"is uint8 \[1, 32, 24, 3\]"),
        ([np.zeros((HEIGHT, WIDTH, 3), np.float32)], r"is float32 \[32, 24, 3\]"),
    ],
)
def test_calibration_that_does_not_fit(
    store: ModelStore, calibration: list[np.ndarray], words: str
) -> None:
    with pytest.raises(ConversionError, match=words):
        make_int8(store, "toy", calibration)
    assert not store.path("toy-int8").exists()


def test_network_without_anything_to_quantize(store: ModelStore) -> None:
    install(store, "thin", quantizable_model(channels=31))
    with pytest.raises(ConversionError, match="no dense convolution with 32 input channels"):
        make_int8(store, "thin", images(1))


# --- bf16 ---


def test_bf16_model(store: ModelStore, toy: Path) -> None:
    variant = make_bf16(store, "toy")
    assert variant == store.path("toy-bf16")
    assert model_file(variant).samefile(model_file(toy))
    expected = config_of(toy)
    expected.name = "toy-bf16"
    expected.parameters["HINT_BF16"].string_value = "YES"
    assert config_of(variant) == expected
    assert store.provenance("toy-bf16") == {
        "source": "made up",
        "base": "toy",
        "base_sha256": digest_files(model_file(toy)),
        "precision": "bf16",
    }


def test_bf16_where_files_cannot_be_linked(
    store: ModelStore, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_paths: Path) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    variant = make_bf16(store, "toy")
    assert not model_file(variant).samefile(model_file(toy))
    assert model_file(variant).read_bytes() == model_file(toy).read_bytes()


def test_bf16_survives_another_base(store: ModelStore) -> None:
    """The file is shared, but a base that is installed again is a new file."""
    variant = make_bf16(store, "toy")
    before = model_file(variant).read_bytes()
    install(store, servable=quantizable_model(channels=48))
    assert model_file(variant).read_bytes() == before


def test_bf16_of_another_backend(store: ModelStore) -> None:
    install(store, backend="onnxruntime")
    with pytest.raises(ConversionError, match="backend openvino, 'toy' has 'onnxruntime'"):
        make_bf16(store, "toy")


# --- both ---


def make(store: ModelStore, name: str, kind: str) -> Path:
    return make_bf16(store, name) if kind == "bf16" else make_int8(store, name, images(2))


@pytest.mark.parametrize("kind", ["bf16", "int8"])
def test_names_that_do_not_do(store: ModelStore, kind: str) -> None:
    make_bf16(store, "toy")
    for name, words in (
        ("gone", "no model 'gone' is installed; installed: toy, toy-bf16"),
        ("toy-bf16", "'toy-bf16' is the bf16 variant of 'toy': name that one instead"),
        ("../toy", "no model '../toy' is installed"),
    ):
        with pytest.raises(ConversionError, match=words):
            make(store, name, kind)


def test_variants_of_other_weights(store: ModelStore) -> None:
    make_bf16(store, "toy")
    make_int8(store, "toy", images(1))
    assert stale_facts("toy-bf16", store) == stale_facts("toy", store) == []
    install(store, servable=quantizable_model(channels=48))
    (fact,) = stale_facts("toy-bf16", store)
    assert "was made of other weights than toy has now" in fact
    assert "`tritonpose models variant toy --precision bf16`" in fact
    (fact,) = stale_facts("toy-int8", store)
    assert "`tritonpose models variant toy --precision int8 --calibration PHOTOS`" in fact
    store.remove("toy")
    assert stale_facts("toy-bf16", store) == []


def test_variants_of_models_of_earlier_versions(store: ModelStore, toy: Path) -> None:
    """They can't be installed again, from nowhere."""
    (toy / "provenance.json").write_text('{"source": "made up", "converter_version": 1}')
    make_bf16(store, "toy")
    (fact,) = stale_facts("toy", store)
    assert "install it again (from made up)" in fact
    assert stale_facts("toy-bf16", store) == []


def test_variants_do_not_replace_models_of_the_user(store: ModelStore) -> None:
    install(store, "toy-bf16")
    with pytest.raises(ConversionError, match="a model of your own is installed as 'toy-bf16'"):
        make_bf16(store, "toy")
