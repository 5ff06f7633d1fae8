"""What is served is what PaddleX recorded on every reference image: over Triton, REST and HPS."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import reference_data
from reference_data import Setting
from rest_service import rest_service
from service_clients import HpsClient, RestClient, ServiceClient, encoded
from tools.evaluation.agreement import (
    CLEAR,
    CLOSE_PX,
    Agreement,
    Differences,
)
from tritonpose.transport import connect
from tritonpose.transport.messages import InferRequest, PoseResponse
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.embedded.server import EmbeddedServer
from twins import url_of

pytestmark = reference_data.needed

BOX_TOLERANCE_PX = 0.05
DET_SCORE_TOLERANCE = 0.001
KEYPOINT_SHARE = 0.985
CLEAR_KEYPOINT_TOLERANCE_PX = 0.5
KEYPOINT_SCORE_TOLERANCE = 0.01
MEAN_SCORE_TOLERANCE = 0.001

# Where a joint's heatmap has two peaks of the same height, the last bit of a box decides which
# of them wins, in PaddleX's own engines as well. The default setting has no such joint.
TIED_PEAKS_PER_SERIES = 1
TIED_PEAK_SCORE_DIFFERENCE = 0.001
DEFAULT_SETTING = reference_data.SETTINGS[0]


def check_agreement(setting: Setting, find: Callable[[Path], PoseResponse]) -> None:
    """Compare what is found in each image of a series with PaddleX's results."""
    compared: list[tuple[str, PoseResponse, PoseResponse]] = []
    for content in reference_data.golden(setting.name):
        image = Path(content["input_path"]).name
        found = find(reference_data.image(image))
        compared.append((image, PoseResponse.from_paddlex(content["boxes"]), found))
    agreement = Agreement.of(compared)
    print(
        f"\n{setting.name}: {agreement.persons} persons; boxes within {agreement.box_px:.4f} px, "
        f"detector scores within {agreement.det_score:.6f}; {agreement.close_share:.2%} of "
        f"keypoints within {CLOSE_PX} px, all within {agreement.visible_px:.3f} px, clear ones "
        f"within {agreement.clear_px:.3f} px, keypoint scores within "
        f"{agreement.keypoint_score:.4f}"
    )
    assert agreement.persons > 40
    assert agreement.other_persons == ()
    all_persons = Differences.between([(expected, found) for _, expected, found in compared])
    assert all_persons.box_px.max() <= BOX_TOLERANCE_PX
    assert all_persons.det_score.max() <= DET_SCORE_TOLERANCE
    assert all_persons.kpt_score.max() <= MEAN_SCORE_TOLERANCE
    assert all_persons.keypoint_score.max() <= KEYPOINT_SCORE_TOLERANCE
    assert agreement.close_share is not None
    assert agreement.close_share >= KEYPOINT_SHARE
    off = (all_persons.expected_score >= CLEAR) & (
        all_persons.keypoint_px > CLEAR_KEYPOINT_TOLERANCE_PX
    )
    assert off.sum() <= (0 if setting == DEFAULT_SETTING else TIED_PEAKS_PER_SERIES)
    assert (all_persons.keypoint_score[off] <= TIED_PEAK_SCORE_DIFFERENCE).all()


@pytest.mark.parametrize(
    ("scheme", "setting"),
    [
        *(("grpc", each) for each in reference_data.SETTINGS),
        # One of each kind of request.
        *(("http", each) for each in reference_data.SETTINGS if "320_tinypose128" in each.name),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_same_people_and_keypoints(
    scheme: str, setting: Setting, server: EmbeddedServer, installed_paddle_models: dict[str, Path]
) -> None:
    with closing(connect(url_of(server, scheme))) as transport:
        check_agreement(
            setting,
            lambda image: transport.infer(
                InferRequest(
                    image=image.read_bytes(),
                    det_threshold=setting.threshold,
                    detector=installed_paddle_models[setting.detector].name,
                    keypoint_model=installed_paddle_models[setting.keypoint_model].name,
                    flip=setting.flip,
                    use_udp=setting.use_udp,
                )
            ),
        )


@pytest.fixture(scope="module")
def paddle_server(installed_paddle_models: dict[str, Path]) -> Iterator[EmbeddedServer]:
    """A server whose own models are those of the recorded results."""
    names = (DEFAULT_SETTING.detector, DEFAULT_SETTING.keypoint_model)
    models = [installed_paddle_models[name] for name in names]
    with EmbeddedServer(models, PipelineSettings(*(model.name for model in models))) as running:
        yield running


@pytest.fixture(scope="module", params=["REST", "HPS"])
def client(
    request: pytest.FixtureRequest, paddle_server: EmbeddedServer
) -> Iterator[ServiceClient]:
    if request.param == "REST":
        with rest_service(paddle_server.grpc_url) as address:
            yield RestClient(address)
    else:
        yield HpsClient(paddle_server.grpc_url)


def test_same_people_and_keypoints_by_the_services(client: ServiceClient) -> None:
    def find(image: Path) -> PoseResponse:
        answer = client.call(image=encoded(image.read_bytes()), visualize=False)
        persons = answer["result"]["persons"]

        def collect(key: str, *shape: int) -> Any:
            return np.array([each[key] for each in persons], np.float32).reshape(-1, *shape)

        return PoseResponse(
            collect("bbox", 4), collect("detScore"), collect("kpts", 17, 3), collect("kptScore")
        )

    check_agreement(DEFAULT_SETTING, find)


def test_same_pictures(client: ServiceClient) -> None:
    """PaddleX's own renderings, encoded as its service encodes them."""
    renders = sorted((reference_data.ROOT / "golden" / "renders").glob("*.png"))
    assert len(renders) >= 7
    images = [each["input_path"] for each in reference_data.golden(DEFAULT_SETTING.name)]
    for render in renders:
        (image,) = (each for each in images if Path(each).stem == render.stem)
        file = io.BytesIO()
        Image.open(render).convert("RGB").save(file, format="JPEG")
        photo = encoded(reference_data.image(image).read_bytes())
        picture = base64.b64decode(client.call(image=photo)["result"]["image"])
        difference = abs(pixels(picture) - pixels(file.getvalue())).max(axis=2)
        # On another kind of processor, a joint within a hair of the next pixel is drawn there.
        assert (difference > 0).mean() < 0.001, render.stem


def pixels(file: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(file)), dtype=int)
