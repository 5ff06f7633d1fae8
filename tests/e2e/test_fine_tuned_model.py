"""Fine-tuned models of any size, normalization, keypoints and classes: no code knows them."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import requests
import yaml
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from playwright.sync_api import sync_playwright

import reference_data
from browser import Visit, find_chromium, launch
from rest_service import rest_service
from service_clients import ENDPOINT, HpsClient, encoded
from tritonpose import KeypointResult, create_pipeline
from tritonpose.config import PipelineConfig
from tritonpose.drawing.poses import draw_poses
from tritonpose.errors import InvalidRequestError
from tritonpose.transport import connect
from tritonpose.transport.messages import InferRequest, PoseResponse
from tritonpose_pipeline.crops import (
    boxes_to_centers_and_scales,
    crop_matrices,
    crop_people,
    transform_points,
)
from tritonpose_pipeline.heatmaps import decode_heatmaps
from tritonpose_pipeline.keypoint_schema import KeypointSchema
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.models.paddle.install import install_paddle_model
from tritonpose_server.models.pipeline_settings import make_settings
from tritonpose_server.models.store import ModelStore

pytestmark = reference_data.needed

SIZES = ((128, 96), (256, 192))
MEAN, STD = [0.4, 0.5, 0.6], [0.3, 0.25, 0.2]
FIVE = {"nose": 0, "left_wrist": 9, "right_wrist": 10, "left_ankle": 15, "right_ankle": 16}
SCHEMA: dict[str, Any] = {
    "names": list(FIVE),
    "skeleton": [["nose", "left_wrist"], ["nose", "right_wrist"]],
    "colors": ["#ff0000", "#00ff00"],
    "flip_pairs": [["left_wrist", "right_wrist"], ["left_ankle", "right_ankle"]],
}


def copy_model(name: str, target: Path, **changes: Any) -> Path:
    """Copy a reference model, with changes of its inference.yml."""
    source = reference_data.ROOT / "models" / name
    target.mkdir()
    shutil.copy(source / "inference.onnx", target)
    content = yaml.safe_load((source / "inference.yml").read_text())
    (target / "inference.yml").write_text(yaml.safe_dump(content | changes), "utf-8")
    return target


def fine_tuned(size: tuple[int, int], directory: Path) -> Path:
    """PP-TinyPose with another normalization, and an inference.yml that says so."""
    model = copy_model(f"PP-TinyPose_{size[0]}x{size[1]}", directory)
    content = yaml.safe_load((model / "inference.yml").read_text())
    normalize = content["Preprocess"][1]
    assert normalize["type"] == "NormalizeImage"
    normalize["mean"], normalize["std"] = MEAN, STD
    (model / "inference.yml").write_text(yaml.safe_dump(content))
    return model


def with_joints(joints: list[int], directory: Path) -> Path:
    """PP-TinyPose with other heatmaps than it has: some of them, or some twice."""
    model = copy_model("PP-TinyPose_128x96", directory)
    network = onnx.load(model / "inference.onnx")
    heatmap = next(o for o in network.graph.output if o.type.tensor_type.elem_type == 1)
    network.graph.initializer.append(numpy_helper.from_array(np.array(joints), "joints"))
    network.graph.node.append(
        helper.make_node("Gather", [heatmap.name, "joints"], ["chosen"], axis=1)
    )
    shape = ["batch", len(joints), 32, 24]
    del network.graph.output[:]
    network.graph.output.append(helper.make_tensor_value_info("chosen", TensorProto.FLOAT, shape))
    onnx.save(network, model / "inference.onnx")
    return model


def with_classes(labels: list[str], factors: list[float], directory: Path) -> Path:
    """PicoDet with further classes, whose scores are those of its own, times a factor each."""
    model = copy_model("PicoDet-S_pedestrian_320", directory, label_list=labels)
    network = onnx.load(model / "inference.onnx")
    nodes = network.graph.node
    place, nms = next((i, n) for i, n in enumerate(nodes) if n.op_type == "NonMaxSuppression")
    scores = nms.input[1]
    weights = np.array(factors, np.float32).reshape(1, -1, 1)
    network.graph.initializer.append(numpy_helper.from_array(weights, "factors"))
    for node in list(nodes)[place:]:
        for index, name in enumerate(node.input):
            if name == scores:
                node.input[index] = "all_scores"
    nodes.insert(place, helper.make_node("Mul", [scores, "factors"], ["all_scores"]))
    onnx.save(network, model / "inference.onnx")
    return model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All of them installed, by name."""
    directory = tmp_path_factory.mktemp("fine_tuned")
    store = ModelStore(directory / "models")
    five = with_joints(list(FIVE.values()), directory / "five")
    (five / "keypoints.yml").write_text(yaml.safe_dump(SCHEMA))
    sources: dict[str, Path] = {
        **{f"tuned-{size[0]}": fine_tuned(size, directory / f"{size[0]}") for size in SIZES},
        "five": five,
        "many": with_joints([*range(17), *range(9)], directory / "many"),
    }
    site = with_classes(["dog", "工人", "visitor"], [0.5, 1, 0.9], directory / "site")
    installed = {
        name: install_paddle_model(source, "keypoint", store, name=name)
        for name, source in sources.items()
    }
    chosen = ("工人", "visitor")
    installed["site"] = install_paddle_model(site, "detector", store, name="site", classes=chosen)
    one = reference_data.ROOT / "models" / "PicoDet-S_pedestrian_320"
    installed["one"] = install_paddle_model(one, "detector", store, name="one")
    return installed


@pytest.fixture(scope="module")
def tuned_server(models: dict[str, Path]) -> Iterator[EmbeddedServer]:
    """A server whose defaults are the detector of one class and the model of five keypoints."""
    settings = make_settings(PipelineConfig(), models["one"], models["five"])
    with EmbeddedServer(list(models.values()), settings) as running:
        yield running


def ask(server: EmbeddedServer, photo: Path, scheme: str = "grpc", **choices: Any) -> PoseResponse:
    transport = connect(getattr(server, f"{scheme}_url"))
    try:
        return transport.infer(InferRequest(image=photo.read_bytes(), **choices))
    finally:
        transport.close()


@pytest.mark.parametrize("size", SIZES)
def test_is_served_as_its_files_say(
    tuned_server: EmbeddedServer, models: dict[str, Path], size: tuple[int, int], photo: Path
) -> None:
    served = ask(tuned_server, photo, keypoint_model=f"tuned-{size[0]}")
    assert len(served.boxes)

    height, width = size
    centers, scales = boxes_to_centers_and_scales(served.boxes, width / height)
    matrices = crop_matrices(centers, scales, (width, height))
    crops = crop_people(cv2.imread(str(photo)), matrices, (width, height))
    pixels = (crops / 255 - np.array(MEAN)) / np.array(STD)
    source = models["five"].parents[1] / str(height)
    session = onnxruntime.InferenceSession(str(source / "inference.onnx"))
    feed = {"image": pixels.transpose(0, 3, 1, 2).astype(np.float32)}
    (heatmaps,) = session.run(["fetch_name_0"], feed)
    coordinates, scores = decode_heatmaps(heatmaps)
    to_image = crop_matrices(centers, scales, (width // 4, height // 4), inverse=True)
    np.testing.assert_allclose(served.keypoints[..., 2], scores, atol=1e-3)
    expected = transform_points(coordinates, to_image)
    np.testing.assert_allclose(served.keypoints[..., :2], expected, atol=0.1)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
@pytest.mark.parametrize("flip", [False, True])
def test_other_keypoints(
    tuned_server: EmbeddedServer, photo: Path, scheme: str, flip: bool
) -> None:
    """They are where the whole model finds them, mirrored pairs included."""
    five = ask(tuned_server, photo, scheme, flip=flip)
    count = len(five.boxes)
    assert count
    assert five.keypoints.shape == (count, 5, 3)
    assert five.schema == KeypointSchema.from_mapping(SCHEMA, "")
    many = ask(tuned_server, photo, scheme, keypoint_model="many")
    assert many.keypoints.shape == (count, 26, 3)
    assert many.schema.names[25] == "keypoint_25"
    np.testing.assert_array_equal(many.keypoints[:, 17:], many.keypoints[:, :9])
    if flip:
        with pytest.raises(InvalidRequestError, match=r"`flip` needs to know .*'many'"):
            ask(tuned_server, photo, scheme, keypoint_model="many", flip=True)
        assert (five.keypoints != ask(tuned_server, photo, scheme).keypoints).any()
        # As close as the mirrored crop is: both see the same person.
        difference = np.abs(five.keypoints - many.keypoints[:, list(FIVE.values())])
        assert np.median(difference[..., :2]) < 3
    else:
        expected = many.keypoints[:, list(FIVE.values())]
        np.testing.assert_allclose(five.keypoints, expected, atol=1e-3)
    nobody = ask(tuned_server, photo, scheme, det_threshold=1.0)
    assert nobody.keypoints.shape == (0, 5, 3)
    assert nobody.schema == five.schema


def test_other_keypoints_in_services_and_exports(tuned_server: EmbeddedServer, photo: Path) -> None:
    with create_pipeline("human_keypoint_detection", url=tuned_server.http_url) as pipeline:
        (found,) = pipeline.predict(photo)
    assert isinstance(found, KeypointResult)
    picture = draw_poses(found["input_img"], found.arrays.keypoints, found.keypoint_schema)
    np.testing.assert_array_equal(np.asarray(found.img["res"])[..., ::-1], picture)
    assert found.to_coco(1)[0]["keypoints"][:2] == found.arrays.keypoints[0, 0, :2].tolist()
    assert len(found.to_coco(1)[0]["keypoints"]) == 15
    assert found.to_dataframe()["keypoint"].unique().tolist() == list(FIVE)
    request = {"image": encoded(photo.read_bytes()), "visualize": True}
    with rest_service(tuned_server.grpc_url) as address:
        answer = requests.post(f"{address}{ENDPOINT}", json=request, timeout=60).json()
        refused = requests.post(
            f"{address}{ENDPOINT}", json={**request, "detThreshold": {"cat": 0.5}}, timeout=60
        )
    for each in (answer, HpsClient(tuned_server.grpc_url).call(**request)):
        kpts = [person["kpts"] for person in each["result"]["persons"]]
        np.testing.assert_array_equal(np.array(kpts, np.float32), found.arrays.keypoints)
        told = KeypointSchema.from_mapping(each["result"]["keypointSchema"], "")
        assert told == found.keypoint_schema
        jpeg = Image.open(io.BytesIO(base64.b64decode(each["result"]["image"])))
        assert np.abs(np.asarray(jpeg)[..., ::-1].astype(int) - picture).mean() < 3
    assert refused.status_code == 422
    assert "`detThreshold` has the class 'cat'" in refused.json()["errorMsg"]


def test_chosen_classes(tuned_server: EmbeddedServer, photo: Path) -> None:
    """One class counts as the whole detector does; of two the other one adds its people."""
    alone = ask(tuned_server, photo, detector="one", det_threshold=0.5)
    by_class = {"工人": 0.5, "visitor": 1}
    worker = ask(tuned_server, photo, detector="site", det_threshold=by_class)
    np.testing.assert_allclose(worker.boxes, alone.boxes, atol=0.01)
    np.testing.assert_allclose(worker.det_scores, alone.det_scores, atol=1e-5)
    both = ask(tuned_server, photo, "http", detector="site", det_threshold={"1": 0.5, "2": 0.4})
    assert len(both.boxes) > len(alone.boxes)
    assert (np.diff(both.det_scores) <= 0).all()
    with pytest.raises(InvalidRequestError, match=r"'cat'.*0 \(dog\), 1 \(工人\), 2 \(visitor\)"):
        ask(tuned_server, photo, detector="site", det_threshold={"cat": 0.5})
    answer = HpsClient(tuned_server.grpc_url).call(
        image=encoded(photo.read_bytes()), visualize=False, detThreshold={"0": 0.5}
    )
    scores = [person["detScore"] for person in answer["result"]["persons"]]
    np.testing.assert_allclose(scores, alone.det_scores, atol=1e-6)


def test_other_keypoints_on_the_page(
    tuned_server: EmbeddedServer, photo: Path, tmp_path: Path
) -> None:
    program = find_chromium()
    if program is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    found = ask(tuned_server, photo)
    with (
        rest_service(tuned_server.grpc_url) as address,
        sync_playwright() as playwright,
        launch(playwright, program) as browser,
    ):
        visit = Visit(browser.new_page(viewport={"width": 1280, "height": 1400}), address)
        visit.choose(photo)
        visit.wait_for_answer()
        rows = [" ".join(text.split()) for text in visit.keypoints().all_inner_texts()]
        names = [name.replace("_", " ") for name in FIVE]
        assert [row.rpartition(" ")[0].lower() for row in rows] == names
        for button, name in (("JSON", "saved.json"), ("Picture (PNG)", "saved.png")):
            with visit.page.expect_download() as download:
                visit.page.get_by_role("button", name=button).click()
            download.value.save_as(tmp_path / name)
        visit.close()
    saved = json.loads((tmp_path / "saved.json").read_text())
    assert KeypointSchema.from_mapping(saved["keypointSchema"], "") == found.schema
    assert len(saved["persons"][0]["kpts"]) == 5
    picture = np.asarray(Image.open(tmp_path / "saved.png").convert("RGB")).astype(int)
    assert found.keypoints[0, :3, 2].min() >= 0.1
    for joint, (x, y, _) in enumerate(found.keypoints[0, :3]):
        assert np.abs(picture[int(y), int(x)] - found.schema.color(joint)).max() <= 8
