"""The model ``human-keypoint-detection``, called as clients of PaddleX's HPS call it."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from PIL import Image
from tritonclient.utils import InferenceServerException

from tritonpose import create_pipeline
from tritonpose.result import KeypointResult
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.embedded.options import ServerOptions
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.embedded.staging import HpsOptions
from tritonpose_server.service.urls import UrlSettings

MODEL = "human-keypoint-detection"

# Of its config.pbtxt.
MAX_IN_FLIGHT = 128


class HpsClient:
    """What PaddleX's HPS clients do: one JSON text in a tensor [1, 1], another one back."""

    def __init__(self, module: Any, url: str, **options: Any) -> None:
        self._module = module
        self._client = module.InferenceServerClient(url.split("//")[1], **options)

    def send(self, array: Any) -> Any:
        """Sends a tensor as it is."""
        tensor = self._module.InferInput("input", list(array.shape), "BYTES")
        tensor.set_data_from_numpy(array)
        return self._client.infer(MODEL, inputs=[tensor])

    def call(self, **document: Any) -> Any:
        text = json.dumps(document, separators=(",", ":")).encode("utf-8")
        results = self.send(np.array([[text]], dtype=np.object_))
        return json.loads(results.as_numpy("output")[0, 0].decode("utf-8"))

    def call_until_served(self, **document: Any) -> Any:
        """Asks again where the server, on a slow machine, had too little time."""
        for _ in range(20):
            output = self.call(**document)
            if output["errorCode"] != 503:
                break
            time.sleep(1)
        return output


@pytest.fixture(scope="module", params=["grpc", "http"])
def client(request: pytest.FixtureRequest, server: EmbeddedServer) -> HpsClient:
    if request.param == "grpc":
        return HpsClient(tritonclient.grpc, server.grpc_url)
    return HpsClient(tritonclient.http, server.http_url)


@pytest.fixture(scope="module")
def expected(server: EmbeddedServer, photo: Path) -> KeypointResult:
    """What the Python client finds in the photo."""
    with create_pipeline("human_keypoint_detection", url=server.grpc_url) as pipeline:
        return next(pipeline.predict(photo))


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def test_answer(client: HpsClient, photo: Path, expected: KeypointResult) -> None:
    output = client.call(image=encoded(photo.read_bytes()))
    assert list(output) == ["logId", "result", "errorCode", "errorMsg"]
    assert (output["errorCode"], output["errorMsg"]) == (0, "Success")
    assert output["result"]["persons"] == [
        {
            "bbox": [float(x) for x in box["coordinate"]],
            "kpts": np.asarray(box["keypoints"]).tolist(),
            "detScore": float(box["det_score"]),
            "kptScore": float(box["kpt_score"]),
        }
        for box in expected["boxes"]
    ]
    assert len(output["result"]["persons"]) == 2
    picture = io.BytesIO()
    expected.img["res"].save(picture, format="JPEG")
    assert base64.b64decode(output["result"]["image"]) == picture.getvalue()


@pytest.mark.parametrize(("said", "drawn"), [(None, True), (True, True), (False, False)])
def test_picture_on_request(client: HpsClient, photo: Path, said: bool | None, drawn: bool) -> None:
    result = client.call(image=encoded(photo.read_bytes()), visualize=said)["result"]
    assert set(result) == ({"persons", "image"} if drawn else {"persons"})


def test_threshold(client: HpsClient, photo: Path) -> None:
    image = encoded(photo.read_bytes())
    outputs = [
        client.call(image=image, visualize=False, detThreshold=value) for value in (None, 0.6, 1)
    ]
    assert [len(output["result"]["persons"]) for output in outputs] == [2, 1, 0]


@pytest.mark.parametrize(
    ("document", "code", "words"),
    [
        ({}, 422, "Field required"),
        ({"image": "@"}, 422, "not base64"),
        ({"image": encoded(b"Dear friend")}, 422, "it is text"),
        ({"image": encoded(b"\xff\xd8\xff\xe0" + bytes(99))}, 422, "begins like a JPEG file"),
        ({"image": encoded(b"x"), "detThreshold": 2}, 422, "less than or equal to 1"),
        ({"image": "https://host/photo.jpg"}, 403, "URLs are off"),
    ],
)
def test_errors_in_the_answer(
    client: HpsClient, document: dict[str, Any], code: int, words: str
) -> None:
    output = client.call(**document, logId="mine")
    assert set(output) == {"logId", "errorCode", "errorMsg"}
    assert (output["logId"], output["errorCode"]) == ("mine", code)
    assert words in output["errorMsg"]


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (np.array([[b"{"]], object), "`input` must be JSON text"),
        (np.array([[b'"\xff"']], object), "`input` must be JSON text"),
        (np.array([[b"{}", b"{}"]], object), "shape"),
        (np.array([[b"{}"], [b"{}"]], object), "batch"),
        (np.array([b"{}"], object), "shape"),
    ],
)
def test_errors_of_triton(client: HpsClient, tensor: Any, words: str) -> None:
    with pytest.raises(InferenceServerException, match=words) as caught:
        client.send(tensor)
    assert caught.value.status() in ("StatusCode.INVALID_ARGUMENT", "400")


def test_many_at_once(server: EmbeddedServer, photo: Path) -> None:
    client = HpsClient(tritonclient.grpc, server.grpc_url)
    frame = cv2.imread(str(photo))
    left, right = frame[:480, 400:800], frame[500:, 1150:1650]
    variants = [left, cv2.flip(left, 1), right, np.zeros((90, 60, 3), np.uint8)]
    images = [encoded(cv2.imencode(".jpg", variant)[1].tobytes()) for variant in variants]
    alone = [client.call(image=image)["result"]["persons"] for image in images]
    assert all(alone[:3])
    assert alone[3] == []

    def request(index: int) -> None:
        output = client.call_until_served(
            image=images[index % 4], logId=f"number-{index}", visualize=index % 8 < 4
        )
        assert output["logId"] == f"number-{index}"
        persons = output["result"]["persons"]
        assert len(persons) == len(alone[index % 4])
        for person, other in zip(persons, alone[index % 4], strict=True):
            np.testing.assert_allclose(person["bbox"], other["bbox"], atol=0.01)
            np.testing.assert_allclose(person["kpts"], other["kpts"], atol=0.1)
        assert ("image" in output["result"]) == (index % 8 < 4)

    with ThreadPoolExecutor(64) as clients:
        list(clients.map(request, range(64)))


def test_overload_is_refused_at_once_and_passes(server: EmbeddedServer) -> None:
    client = HpsClient(tritonclient.grpc, server.grpc_url)
    image = encoded(cv2.imencode(".png", np.zeros((90, 60, 3), np.uint8))[1].tobytes())
    count = 2 * MAX_IN_FLIGHT

    with ThreadPoolExecutor(count) as clients:
        outputs = list(clients.map(lambda _: client.call(image=image), range(count)))
    # On a slow machine some of those accepted get no answer in the pipeline's time.
    assert {output["errorCode"] for output in outputs} == {0, 503}
    refused = [f"{MAX_IN_FLIGHT} requests are already under way" in str(each) for each in outputs]
    assert 0 < sum(refused) <= count - MAX_IN_FLIGHT
    assert client.call_until_served(image=image)["errorCode"] == 0


@pytest.fixture(scope="module")
def plain_server(installed_open_models: list[Path]) -> Iterator[EmbeddedServer]:
    """A server whose configuration switches pictures off and URLs on."""
    detector, keypoint_model = installed_open_models
    settings = PipelineSettings(detector.name, keypoint_model.name)
    options = ServerOptions(hps=HpsOptions(visualize=False, urls=UrlSettings("http")))
    with EmbeddedServer(installed_open_models, settings, options) as running:
        yield running


@pytest.mark.parametrize(("said", "drawn"), [(None, False), (True, True), (False, False)])
def test_picture_by_configuration(
    plain_server: EmbeddedServer, photo: Path, said: bool | None, drawn: bool
) -> None:
    client = HpsClient(tritonclient.grpc, plain_server.grpc_url)
    result = client.call(image=encoded(photo.read_bytes()), visualize=said)["result"]
    assert set(result) == ({"persons", "image"} if drawn else {"persons"})


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://localhost/photo.jpg", "its host has an address that is not public"),
        ("https://[::1]/photo.jpg", "its host has an address that is not public"),
        ("http://127.1/photo.jpg", "its host is a number"),
        ("http://127.0.0.1:8000/v2/models", "port 8000 is not allowed"),
    ],
)
def test_urls_that_are_not_to_be_fetched(
    plain_server: EmbeddedServer, url: str, words: str
) -> None:
    output = HpsClient(tritonclient.grpc, plain_server.grpc_url).call(image=url, logId="mine")
    assert (output["logId"], output["errorCode"]) == ("mine", 403)
    assert words in output["errorMsg"]


def test_pipeline_that_is_away(plain_server: EmbeddedServer, photo: Path) -> None:
    """Last of its server, whose pipeline is unloaded."""
    client = HpsClient(tritonclient.grpc, plain_server.grpc_url)
    triton = tritonclient.grpc.InferenceServerClient(plain_server.grpc_url.split("//")[1])
    key = plain_server.control_headers
    triton.unload_model("human_keypoint_detection", headers=key)
    output = client.call(image=encoded(photo.read_bytes()))
    assert output["errorCode"] == 503
    triton.load_model("human_keypoint_detection", headers=key)
    assert client.call(image=encoded(photo.read_bytes()))["errorCode"] == 0


def test_files_of_a_picture_are_images(client: HpsClient, photo: Path) -> None:
    output = client.call(image=f"data:image/jpeg;base64,{encoded(photo.read_bytes())}")
    picture = Image.open(io.BytesIO(base64.b64decode(output["result"]["image"])))
    assert (picture.format, picture.size) == ("JPEG", Image.open(photo).size)
