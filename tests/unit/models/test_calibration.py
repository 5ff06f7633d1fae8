"""Calibration inputs from photos, and the variants made with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import quantizable_model
from composing_models import DETECTOR_PARAMETERS
from tritonpose.errors import InputError
from tritonpose_pipeline.crops import boxes_to_centers_and_scales, crop_matrices, crop_people
from tritonpose_pipeline.detection import resize_for_detector
from tritonpose_pipeline.repository import ModelRepository
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models.calibration import calibration_inputs
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.precision import make_variant
from tritonpose_server.models.store import ModelFiles, ModelStore
from tritonpose_server.models.triton_config import make_config

SIZE = (48, 64)  # of the photos, and of the detector's input
BOXES = np.array([[5, 4, 25, 40], [30, 10, 60, 44]], np.float32)


def detector_graph() -> onnx.ModelProto:
    """Finds the two persons of `BOXES`, the second one surer, in an image that is not dark."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Slice", ["mean", "zero", "one", "one"], ["red"]),
        helper.make_node("Mul", ["red", "weights"], ["scores"]),
        helper.make_node("Identity", ["constant"], ["boxes"]),
    ]
    constants = {
        "zero": np.array([0]),
        "one": np.array([1]),
        "weights": np.array([[0.8, 0.9]], np.float32) / 255,
        "constant": BOXES[None],
    }
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["b", *SIZE, 3])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["b", 2, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["b", 2]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """Holds the keypoint model ``toy`` and the detector ``finder``."""
    store = ModelStore(tmp_path / "models")
    quantizable_model.install(store)
    model = detector_graph()
    config = make_config("finder", model, DETECTOR_PARAMETERS, max_batch_size=1)
    store.add("finder", ModelFiles(model, config, {"source": "made up"}))
    return store


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A directory with five photos of two persons each."""
    directory = tmp_path / "photos"
    (directory / "deeper").mkdir(parents=True)
    rng = np.random.default_rng(1)
    for index in range(5):
        name = f"deeper/{index}.png" if index > 2 else f"{index}.png"
        write(directory / name, rng.integers(180, 256, (*SIZE, 3), dtype=np.uint8))
    return directory


def write(path: Path, image: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


def read(directory: Path) -> list[np.ndarray]:
    return [cv2.imread(str(path)) for path in sorted(directory.rglob("*.png"))]


def crops(store: ModelStore, images: Sequence[Path], **options: int) -> list[np.ndarray]:
    return calibration_inputs(store, "toy", images, "finder", **options)


def test_crops_are_those_of_the_pipeline(store: ModelStore, photos: Path) -> None:
    size = (quantizable_model.WIDTH, quantizable_model.HEIGHT)
    # The surer person first.
    centers, scales = boxes_to_centers_and_scales(BOXES[::-1], size[0] / size[1])
    matrices = crop_matrices(centers, scales, size)
    expected = np.concatenate([crop_people(image, matrices, size) for image in read(photos)])
    np.testing.assert_array_equal(crops(store, [photos]), expected)


def test_inputs_of_a_detector(store: ModelStore, photos: Path) -> None:
    model = ModelRepository(store.root).detector("finder")
    expected = [resize_for_detector(image, model).pixels for image in read(photos)]
    np.testing.assert_array_equal(calibration_inputs(store, "finder", [photos], ""), expected)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (10, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (9, [0, 2, 4, 6, 8]),
        (4, [0, 4, 8]),
        (2, [0, 6]),
        (1, [0]),
    ],
)
def test_how_many(store: ModelStore, photos: Path, limit: int, expected: list[int]) -> None:
    """Of each image the same number of persons, the surest; of the images evenly many."""
    everything = crops(store, [photos])
    chosen = crops(store, [photos], max_inputs=limit)
    np.testing.assert_array_equal(chosen, [everything[index] for index in expected])


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        (["dark.png"], EmbeddedServerError, "finder found no person in the 1 calibration images"),
        (["photos"], InputError, "photos/1.png' begins like a PNG"),
        ([], EmbeddedServerError, "calibration needs images"),
        (["empty"], InputError, "no images in the directory"),
        (["gone.jpg"], InputError, "no such file"),
    ],
)
def test_images_that_do_not_do(
    store: ModelStore,
    tmp_path: Path,
    photos: Path,
    images: list[str],
    error: type[Exception],
    words: str,
) -> None:
    write(tmp_path / "dark.png", np.zeros((*SIZE, 3), np.uint8))
    (tmp_path / "empty").mkdir()
    broken = photos / "1.png"
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(error, match=words):
        crops(store, [tmp_path / name for name in images])


# --- variants ---


def test_int8_variants(store: ModelStore, photos: Path) -> None:
    lines: list[str] = []
    variant = make_variant(store, "toy", "int8", [photos], lines.append, "finder")
    assert variant == store.path("toy-int8")
    assert lines == ["toy: calibrating with 10 inputs"]
    assert ModelRepository(store.root).keypoint_model("toy-int8").height == 32


def test_bf16_variant(store: ModelStore) -> None:
    def make(*images: Path, has_bf16: bool = True) -> Path:
        return make_variant(store, "toy", "bf16", images, print, has_bf16=lambda: has_bf16)

    assert make() == store.path("toy-bf16")
    with pytest.raises(EmbeddedServerError, match="bf16 needs no calibration images"):
        make(store.root)
    with pytest.raises(EmbeddedServerError, match="CPU has no bf16 instructions"):
        make(has_bf16=False)


@pytest.mark.parametrize(
    ("names", "error", "words"),
    [
        (("gone", None), ConversionError, "no model 'gone' is installed"),
        (("toy", "gone"), EmbeddedServerError, "no detector model 'gone' is installed"),
        (("toy", None), EmbeddedServerError, "no detector model 'NanoDet_person_416' is installed"),
        (("finder", None), ConversionError, "nothing can be quantized"),
    ],
)
def test_models_that_do_not_do(
    store: ModelStore,
    photos: Path,
    names: tuple[str, str | None],
    error: type[Exception],
    words: str,
) -> None:
    model, detector = names
    with pytest.raises(error, match=words):
        make_variant(store, model, "int8", [photos], print, detector)
