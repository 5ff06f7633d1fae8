"""The REST service in front of a real Triton, as clients of PaddleX's service use it."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import requests
from PIL import Image

from rest_service import rest_service
from tritonpose import create_pipeline
from tritonpose.result import KeypointResult
from tritonpose_server.embedded.server import EmbeddedServer

ENDPOINT = "human-keypoint-detection"


@pytest.fixture(scope="module")
def service(server: EmbeddedServer) -> Iterator[str]:
    with rest_service(server.grpc_url) as address:
        yield address


@pytest.fixture(scope="module")
def expected(server: EmbeddedServer, photo: Path) -> KeypointResult:
    """What the Python client finds in the photo."""
    with create_pipeline("human_keypoint_detection", url=server.grpc_url) as client:
        return next(client.predict(photo))


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def ask(service: str, data: bytes, **fields: Any) -> requests.Response:
    return requests.post(
        f"{service}{ENDPOINT}", json={"image": encoded(data), **fields}, timeout=60
    )


def ask_until_served(service: str, data: bytes, **fields: Any) -> Any:
    """Asks again where the server, on a slow machine, had too little time."""
    for _ in range(20):
        response = ask(service, data, **fields)
        if response.status_code != 503:
            break
        time.sleep(float(response.headers["Retry-After"]))
    return response.json()


def assert_same_people(persons: list[dict[str, Any]], expected: KeypointResult) -> None:
    """The people of an answer are exactly those of the client, number by number."""
    assert persons == [
        {
            "bbox": [float(x) for x in box["coordinate"]],
            "kpts": np.asarray(box["keypoints"]).tolist(),
            "detScore": float(box["det_score"]),
            "kptScore": float(box["kpt_score"]),
        }
        for box in expected["boxes"]
    ]


def jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, format="JPEG")
    return file.getvalue()


def test_as_the_guide_calls_it(service: str, photo: Path, expected: KeypointResult) -> None:
    payload = {"image": encoded(photo.read_bytes())}
    response = requests.post(f"{service}{ENDPOINT}", json=payload, timeout=60)
    assert response.status_code == 200
    answer = response.json()
    assert list(answer) == ["logId", "result", "errorCode", "errorMsg"]
    assert (answer["errorCode"], answer["errorMsg"]) == (0, "Success")
    assert len(answer["result"]["persons"]) == 2
    assert_same_people(answer["result"]["persons"], expected)
    picture = base64.b64decode(answer["result"]["image"])
    assert picture == jpeg(expected.img["res"])
    assert Image.open(io.BytesIO(picture)).size == Image.open(photo).size


def test_with_curl(service: str, photo: Path, tmp_path: Path, expected: KeypointResult) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("needs curl")
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"image": encoded(photo.read_bytes()), "visualize": False}))
    done = subprocess.run(
        [
            *(curl, "--silent", "--show-error", "--fail", f"{service}{ENDPOINT}"),
            *("--header", "Content-Type: application/json", "--data-binary", f"@{request}"),
        ],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert_same_people(json.loads(done.stdout)["result"]["persons"], expected)


@pytest.mark.parametrize(
    ("fields", "drawn"),
    [
        ({}, True),
        ({"visualize": None}, True),
        ({"visualize": True}, True),
        ({"visualize": False}, False),
    ],
)
def test_picture_on_request(
    service: str, photo: Path, fields: dict[str, bool | None], drawn: bool
) -> None:
    result = ask(service, photo.read_bytes(), **fields).json()["result"]
    assert set(result) == ({"persons", "image"} if drawn else {"persons"})


def test_picture_by_configuration(server: EmbeddedServer, photo: Path) -> None:
    with rest_service(server.grpc_url, visualize=False) as service:
        for fields, drawn in (
            ({}, False),
            ({"visualize": None}, False),
            ({"visualize": True}, True),
        ):
            result = ask(service, photo.read_bytes(), **fields).json()["result"]
            assert ("image" in result) == drawn


def test_triton_over_http(server: EmbeddedServer, photo: Path, expected: KeypointResult) -> None:
    with rest_service(server.http_url) as service:
        assert requests.get(f"{service}health/ready", timeout=5).status_code == 200
        answer = ask(service, photo.read_bytes(), visualize=False).json()
        assert_same_people(answer["result"]["persons"], expected)
        refusal = ask(service, b"Dear friend")
        assert refusal.status_code == 422
        assert json.loads(refusal.json()["errorMsg"])[0]["msg"].startswith("`image` is not an")


def test_threshold(service: str, photo: Path) -> None:
    def found(threshold: float | None) -> int:
        answer = ask(service, photo.read_bytes(), visualize=False, detThreshold=threshold).json()
        return len(answer["result"]["persons"])

    assert [found(None), found(0.6), found(1)] == [2, 1, 0]


def test_nobody_in_the_picture(service: str) -> None:
    gray = np.full((120, 160, 3), 127, np.uint8)
    result = ask(service, cv2.imencode(".png", gray)[1].tobytes()).json()["result"]
    assert result["persons"] == []
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(result["image"]))))
    np.testing.assert_allclose(picture, gray, atol=1)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp"])
def test_other_formats(service: str, photo: Path, suffix: str) -> None:
    half = cv2.resize(cv2.imread(str(photo)), None, fx=0.5, fy=0.5)
    answer = ask(service, cv2.imencode(suffix, half)[1].tobytes()).json()
    assert len(answer["result"]["persons"]) == 2
    assert base64.b64decode(answer["result"]["image"]).startswith(b"\xff\xd8\xff")


def test_data_uri(service: str, photo: Path, expected: KeypointResult) -> None:
    image = f"data:image/jpeg;base64,{encoded(photo.read_bytes())}"
    payload = {"image": image, "visualize": False}
    answer = requests.post(f"{service}{ENDPOINT}", json=payload, timeout=60).json()
    assert_same_people(answer["result"]["persons"], expected)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"Dear friend, this is no photo.", "it is text, beginning with 'Dear friend"),
        (b"%PDF-1.7", "it is a PDF file"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "begins like a JPEG file but can't be decoded"),
    ],
    ids=["text", "PDF", "damaged"],
)
def test_files_that_are_no_image(service: str, data: bytes, words: str) -> None:
    response = ask(service, data, logId="mine")
    assert response.status_code == 422
    body = response.json()
    assert set(body) == {"logId", "errorCode", "errorMsg"}
    assert (body["logId"], body["errorCode"]) == ("mine", 422)
    (problem,) = json.loads(body["errorMsg"])
    assert (problem["type"], problem["loc"]) == ("image", "body.image")
    assert words in problem["msg"]
    assert "127.0.0.1" not in problem["msg"]


def test_body_that_is_too_large(service: str) -> None:
    """Clients that send all of it before they listen get the answer, too."""
    with requests.Session() as session:
        for _ in range(2):
            response = session.post(
                f"{service}{ENDPOINT}", json={"image": "a" * 25_000_000}, timeout=60
            )
            assert response.status_code == 413
            assert "20 MB" in response.json()["errorMsg"]
        assert session.get(f"{service}health", timeout=5).status_code == 200


def test_many_at_once(service: str, photo: Path) -> None:
    """Everybody gets the answer to the own picture, under the own name."""
    frame = cv2.imread(str(photo))
    left, right = frame[:480, 400:800], frame[500:, 1150:1650]
    variants = [left, cv2.flip(left, 1), right, np.zeros((90, 60, 3), np.uint8)]
    pictures = [cv2.imencode(".jpg", variant)[1].tobytes() for variant in variants]
    alone = [ask(service, picture).json()["result"] for picture in pictures]
    assert len({result["image"] for result in alone}) == len(pictures)

    def request(index: int) -> None:
        answer = ask_until_served(
            service, pictures[index % 4], logId=f"number-{index}", visualize=index % 8 < 4
        )
        assert answer["logId"] == f"number-{index}"
        expected = alone[index % 4]
        assert len(answer["result"]["persons"]) == len(expected["persons"])
        for person, other in zip(answer["result"]["persons"], expected["persons"], strict=True):
            np.testing.assert_allclose(person["bbox"], other["bbox"], atol=0.01)
            np.testing.assert_allclose(person["kpts"], other["kpts"], atol=0.1)
        assert ("image" in answer["result"]) == (index % 8 < 4)

    with ThreadPoolExecutor(64) as clients:
        list(clients.map(request, range(64)))
    numbers = requests.get(f"{service}metrics", timeout=5).text
    assert "tritonpose_rest_requests_in_flight 0.0" in numbers
