"""Installing model directories of PaddleX."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import yaml
from tritonclient.grpc.model_config_pb2 import ModelConfig

from paddle_networks import (
    detector_network,
    inference_yml,
    keypoint_network,
    keypoint_reference,
    normalize,
    pixels,
    run_model,
    write_model_directory,
)
from tritonpose_pipeline.keypoint_schema import KeypointSchema
from tritonpose_pipeline.repository import ModelRepository, read_config
from tritonpose_server.models.catalog import Role
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.paddle import conversion
from tritonpose_server.models.paddle import install as paddle_install
from tritonpose_server.models.paddle.install import install_paddle_model
from tritonpose_server.models.store import CONVERTER_VERSION, ModelStore, digest_files
from tritonpose_server.models.triton_config import MAX_BATCH_SIZE


def detector(folder: Path, **changes: Any) -> Path:
    return write_model_directory(
        folder, detector_network(32, 48), inference_yml("detector", 32, 48, **changes)
    )


def keypoint(folder: Path, spoil: str = "", **changes: Any) -> Path:
    return write_model_directory(
        folder, keypoint_network(32, 24, spoil=spoil), inference_yml("keypoint", 32, 24, **changes)
    )


def configuration(model: Path) -> ModelConfig:
    return read_config(model / "config.pbtxt")


def forbid_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("converted again")

    monkeypatch.setattr(conversion, "convert_keypoint_model", refuse)


# --- whole installations ---


def test_install_detector(tmp_path: Path, store: ModelStore) -> None:
    source = detector(tmp_path / "source", draw_threshold=0.4)
    model = install_paddle_model(source, "detector", store)
    assert model.parent == store.root
    assert model.name.startswith("PicoDet-S-")
    assert configuration(model).name == model.name
    assert configuration(model).max_batch_size == MAX_BATCH_SIZE
    read = ModelRepository(store.root).detector(model.name)
    assert (read.height, read.width, read.threshold) == (32, 48, 0.4)
    assert read.interpolation == cv2.INTER_CUBIC
    assert read.pad_value == (124, 116, 104)
    assert (read.nms.top_k, read.nms.keep_top_k) == (900, 70)


def test_install_keypoint_model(
    tmp_path: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = keypoint(tmp_path / "source", TopDownEvalAffine__use_udp=True)
    monkeypatch.chdir(tmp_path)
    model = install_paddle_model(Path("source"), "keypoint", store)
    provenance = store.provenance(model.name) or {}
    assert provenance["source"] == str(source)
    digest = digest_files(source / "inference.onnx", source / "inference.yml")
    assert provenance["source_sha256"] == digest
    assert provenance["converter_version"] == CONVERTER_VERSION
    assert model.name.startswith("PP-TinyPose_32x24-")
    read = ModelRepository(store.root).keypoint_model(model.name)
    assert (read.height, read.width, read.max_batch_size) == (32, 24, MAX_BATCH_SIZE)
    assert read.use_udp
    images = pixels(2, 32, 24)
    result = run_model(onnx.load(model / "1" / "model.onnx"), image=images)
    expected = keypoint_reference(normalize(images))
    np.testing.assert_allclose(result["heatmap"], expected, rtol=1e-5, atol=1e-5)


# --- the cache ---


def test_installed_models_are_not_converted_again(
    tmp_path: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = keypoint(tmp_path / "source")
    model = install_paddle_model(source, "keypoint", store)
    forbid_conversion(monkeypatch)
    assert install_paddle_model(source, "keypoint", store) == model
    copy = shutil.copytree(source, tmp_path / "copy")
    assert install_paddle_model(copy, "keypoint", store) == model
    with pytest.raises(AssertionError, match="converted again"):
        install_paddle_model(source, "keypoint", store, model_name="other")


@pytest.mark.parametrize("change", ["weights", "yml", "converter"])
def test_other_content_gets_another_name(
    tmp_path: Path, store: ModelStore, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    source = keypoint(tmp_path / "source")
    first = install_paddle_model(source, "keypoint", store)
    if change == "weights":
        keypoint(tmp_path / "source", spoil="mix")
    elif change == "yml":
        keypoint(tmp_path / "source", draw_threshold=0.25)
    else:
        monkeypatch.setattr(paddle_install, "CONVERTER_VERSION", 1_000_000)
    second = install_paddle_model(source, "keypoint", store)
    assert second.name != first.name
    assert second.name.rpartition("-")[0] == first.name.rpartition("-")[0]
    assert sorted(path.name for path in store.root.iterdir()) == sorted([first.name, second.name])


def test_names_given_by_the_user(tmp_path: Path, store: ModelStore) -> None:
    """The name of a model in the configuration gets a digest, the name of the servable doesn't."""
    source = detector(tmp_path / "source")
    default = install_paddle_model(source, "detector", store)
    named = install_paddle_model(source, "detector", store, model_name="PP-YOLOE-S_human")
    assert named.name == default.name.replace("PicoDet-S", "PP-YOLOE-S_human")
    mine = install_paddle_model(source, None, store, name="mine")
    assert mine == store.path("mine")
    for model in (named, mine):
        assert configuration(model).name == model.name
    assert install_paddle_model(source, None, store, name="mine") == mine
    other = detector(tmp_path / "other", draw_threshold=0.9)
    with pytest.raises(ConversionError, match="another model is installed as 'mine'"):
        install_paddle_model(other, None, store, name="mine")


@pytest.mark.parametrize("name", ["../evil", "team/pose", "a b", "", ".hidden", "x" * 129])
def test_names_and_sizes_that_can_not_be_served(
    tmp_path: Path, store: ModelStore, name: str
) -> None:
    source = detector(tmp_path / "source")
    with pytest.raises(ConversionError, match="can't be a model name"):
        install_paddle_model(source, None, store, model_name=name or "/")
    with pytest.raises(ConversionError, match="can't take 640x352, which is asked for"):
        install_paddle_model(source, "detector", store, img_size=(640, 352))
    assert store.names() == []


# --- what differs between models ---


@pytest.mark.parametrize(
    ("name", "shift"),
    [("PP-TinyPose_128x96", True), ("PP-TinyPose_256x192", True), ("HRNet-W32", False)],
)
def test_shift_of_mirrored_heatmaps(
    tmp_path: Path, store: ModelStore, name: str, shift: bool
) -> None:
    source = keypoint(tmp_path / "source", Global__model_name=name)
    model = install_paddle_model(source, "keypoint", store, model_name="mine")
    assert ModelRepository(store.root).keypoint_model(model.name).flip_shift is shift


@pytest.mark.parametrize(("spoil", "exact"), [("", True), ("mix", False), ("zero", False)])
def test_batches(tmp_path: Path, store: ModelStore, spoil: str, exact: bool) -> None:
    """A graph that holds on to batch 1 is served with batch 1."""
    source = keypoint(tmp_path / "source", spoil=spoil)
    config = configuration(install_paddle_model(source, "keypoint", store))
    assert config.max_batch_size == (MAX_BATCH_SIZE if exact else 1)
    assert config.HasField("dynamic_batching") is exact


# --- what does not fit ---


@pytest.mark.parametrize("role", ["detector", "keypoint"])
def test_role_that_differs(tmp_path: Path, store: ModelStore, role: Role) -> None:
    folder = tmp_path / "source"
    source, other = (
        (keypoint(folder), "keypoint") if role == "detector" else (detector(folder), "detector")
    )
    with pytest.raises(ConversionError) as caught:
        install_paddle_model(source, role, store)
    message = f"{source} holds a {other} model, but it is configured as {role} model"
    assert str(caught.value) == message
    assert not store.root.exists()


# --- keypoints and classes of one's own ---

FIVE = {"names": ["a", "b", "c", "d", "e"], "flip_pairs": [["b", "c"]]}


def five_joints(folder: Path) -> Path:
    network = keypoint_network(32, 24, joints=5)
    return write_model_directory(folder, network, inference_yml("keypoint", 32, 24))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("keypoints.yml", yaml.safe_dump(FIVE)),
        ("keypoints.yaml", yaml.safe_dump({"Keypoints": FIVE})),
        ("keypoints.json", "\ufeff" + json.dumps(FIVE)),
    ],
)
def test_keypoints_beside_a_model(tmp_path: Path, store: ModelStore, name: str, text: str) -> None:
    source = five_joints(tmp_path / "source")
    (source / name).write_text(text, "utf-8")
    model = install_paddle_model(source, "keypoint", store)
    schema = ModelRepository(store.root).keypoint_model(model.name).schema
    assert schema == KeypointSchema.from_mapping(FIVE, "")
    assert install_paddle_model(source, "keypoint", store) == model
    # Whatever is said of the keypoints belongs to what a model is made from.
    (source / name).write_text(text.replace("d", "D"), "utf-8")
    assert install_paddle_model(source, "keypoint", store) != model


def test_any_number_of_keypoints(tmp_path: Path, store: ModelStore) -> None:
    """Without a word about them, where only one output can be the heatmap."""
    network = keypoint_network(32, 24, joints=26)
    del network.graph.output[0]
    source = write_model_directory(tmp_path / "source", network, inference_yml("keypoint", 32, 24))
    model = install_paddle_model(source, "keypoint", store)
    schema = ModelRepository(store.root).keypoint_model(model.name).schema
    assert schema.names[25] == "keypoint_25"
    assert schema.mirrored is None


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"keypoints.yml": "names: [a, b]"}, r"\[batch, 2, 8, 6\]"),
        ({"keypoints.yml": "preset: coco17"}, r"\[batch, 17, 8, 6\]"),
        ({"keypoints.yml": "preset: coco"}, r"keypoints.yml.preset = 'coco': expected one of"),
        ({"keypoints.yml": "[1"}, "keypoints.yml' isn't valid YAML"),
        ({"keypoints.yml": "names: 0b_"}, "keypoints.yml' isn't valid YAML"),
        ({"keypoints.yml": ""}, "keypoints.yml = None: expected a mapping"),
        ({"keypoints.yml": "names: [a]", "keypoints.json": "{}"}, "one too many: remove one"),
    ],
)
def test_mistakes_in_keypoints(
    tmp_path: Path, store: ModelStore, files: dict[str, str], words: str
) -> None:
    source = five_joints(tmp_path / "source")
    for name, text in files.items():
        (source / name).write_text(text)
    with pytest.raises(ConversionError, match=words):
        install_paddle_model(source, "keypoint", store)


def test_classes_of_a_detector(tmp_path: Path, store: ModelStore) -> None:
    labels = ["dog", "工人", "visitor"]
    source = write_model_directory(
        tmp_path / "source",
        detector_network(32, 48, classes=3),
        inference_yml("detector", 32, 48, label_list=labels),
    )
    with pytest.raises(ConversionError, match=r"labels is a person .* `classes` under"):
        install_paddle_model(source, "detector", store)
    model = install_paddle_model(source, "detector", store, classes=("visitor", "工人"))
    read = ModelRepository(store.root).detector(model.name)
    assert (read.labels, read.classes) == (tuple(labels), (1, 2))
    scores = next(each for each in configuration(model).output if each.name == "scores")
    assert list(scores.dims) == [2, 24]
    one = install_paddle_model(source, "detector", store, classes=("工人",))
    assert one != model
    assert ModelRepository(store.root).detector(one.name).classes == (1,)
    with pytest.raises(ConversionError, match="only detectors have classes"):
        install_paddle_model(five_joints(tmp_path / "five"), None, store, classes=("0",))


def test_a_model_that_changes_meanwhile(tmp_path: Path, store: ModelStore) -> None:
    source = keypoint(tmp_path / "source")

    def change(_line: str) -> None:
        with (source / "inference.yml").open("a") as file:
            file.write("# changed")

    with pytest.raises(ConversionError, match="changed while it was converted: install it again"):
        install_paddle_model(source, "keypoint", store, progress=change)
    assert store.names() == []
