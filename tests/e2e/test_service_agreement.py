"""What the service contract reports is what PaddleX recorded, over REST and over HPS."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import reference_data
from rest_service import rest_service
from service_clients import HpsClient, RestClient, ServiceClient, encoded
from tools.evaluation.agreement import Agreement, Differences, compare, parse_saved_result
from tritonpose.transport.messages import PoseResponse
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.embedded.server import EmbeddedServer

pytestmark = reference_data.needed

SETTING = reference_data.SETTINGS[0]

# As in test_agreement_with_paddlex.
BOX_TOLERANCE_PX = 0.05
SCORE_TOLERANCE = 0.001
KEYPOINT_SCORE_TOLERANCE = 0.01
KEYPOINT_SHARE = 0.985
CLEAR_KEYPOINT_TOLERANCE_PX = 0.5


@pytest.fixture(scope="module")
def paddle_server(installed_paddle_models: dict[str, Path]) -> Iterator[EmbeddedServer]:
    """A server whose own models are those of the recorded results."""
    models = [
        installed_paddle_models[SETTING.detector],
        installed_paddle_models[SETTING.keypoint_model],
    ]
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


def base64_of(image: str) -> str:
    return encoded(reference_data.image(image).read_bytes())


def response_of(persons: list[dict[str, Any]]) -> PoseResponse:
    def collect(key: str, *shape: int) -> Any:
        return np.array([person[key] for person in persons], np.float32).reshape(-1, *shape)

    return PoseResponse(
        collect("bbox", 4), collect("detScore"), collect("kpts", 17, 3), collect("kptScore")
    )


def test_same_people_and_keypoints(client: ServiceClient) -> None:
    compared: list[tuple[str, Differences | None]] = []
    for content in reference_data.golden(SETTING.name):
        image = Path(content["input_path"]).name
        persons = client.call(image=base64_of(image), visualize=False)["result"]["persons"]
        compared.append((image, compare(parse_saved_result(content), response_of(persons))))
    agreement = Agreement.of(compared)
    assert agreement.persons > 50
    assert agreement.other_persons == ()
    assert agreement.box_px is not None
    assert agreement.box_px <= BOX_TOLERANCE_PX
    assert agreement.det_score is not None
    assert agreement.det_score <= SCORE_TOLERANCE
    assert agreement.keypoint_score is not None
    assert agreement.keypoint_score <= KEYPOINT_SCORE_TOLERANCE
    assert agreement.close_share is not None
    assert agreement.close_share >= KEYPOINT_SHARE
    assert agreement.clear_px is not None
    assert agreement.clear_px <= CLEAR_KEYPOINT_TOLERANCE_PX
    joined = Differences.join([each for _, each in compared if each is not None])
    assert joined.kpt_score.max() <= SCORE_TOLERANCE


def test_same_pictures(client: ServiceClient) -> None:
    """PaddleX's own renderings, encoded as its service encodes them."""
    renders = sorted((reference_data.ROOT / "golden" / "renders").glob("*.png"))
    assert len(renders) >= 7
    images = [each["input_path"] for each in reference_data.golden(SETTING.name)]
    for render in renders:
        (image,) = (each for each in images if Path(each).stem == render.stem)
        file = io.BytesIO()
        Image.open(render).convert("RGB").save(file, format="JPEG")
        picture = base64.b64decode(client.call(image=base64_of(image))["result"]["image"])
        difference = abs(pixels(picture) - pixels(file.getvalue())).max(axis=2)
        # On another kind of processor, a joint within a hair of the next pixel is drawn there.
        assert (difference > 0).mean() < 0.001, render.stem


def pixels(file: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(file)), dtype=int)
