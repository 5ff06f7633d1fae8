"""PaddleX's contract in front of a real Triton, over REST and as the HPS model."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from rest_service import rest_service
from service_clients import (
    HpsClient,
    RestClient,
    ServiceClient,
    encoded,
    persons_of,
)
from tritonpose.result import KeypointResult
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.embedded.staging import HpsOptions
from tritonpose_server.service.urls.settings import UrlSettings

PNG = encoded(cv2.imencode(".png", np.zeros((32, 32, 3), np.uint8))[1].tobytes())
SERVICES = ["REST, gRPC", "REST, HTTP", "HPS, gRPC", "HPS, HTTP"]


@pytest.fixture(scope="module", params=SERVICES)
def client(request: pytest.FixtureRequest, server: EmbeddedServer) -> Iterator[ServiceClient]:
    """A client of each service, whose own connection to Triton is of each kind."""
    service, kind = request.param.split(", ")
    url = server.grpc_url if kind == "gRPC" else server.http_url
    if service == "REST":
        with rest_service(url) as address:
            yield RestClient(address)
    else:
        yield HpsClient(url)


@pytest.fixture(scope="module")
def plain_server(embed: Callable[..., EmbeddedServer]) -> Iterator[EmbeddedServer]:
    """A server whose configuration switches pictures off and URLs on."""
    with embed(hps=HpsOptions(visualize=False, urls=UrlSettings("http"))) as running:
        yield running


@pytest.fixture(scope="module", params=["REST", "HPS"])
def plain_client(
    request: pytest.FixtureRequest, plain_server: EmbeddedServer
) -> Iterator[ServiceClient]:
    """A client of each service, which is configured likewise."""
    if request.param == "REST":
        urls = UrlSettings("http")
        with rest_service(plain_server.grpc_url, visualize=False, urls=urls) as address:
            yield RestClient(address)
    else:
        yield HpsClient(plain_server.grpc_url)


def picture_of(answer: Any) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(answer["result"]["image"])))


@pytest.mark.parametrize("header", ["", "data:image/jpeg;base64,"])
def test_answer(client: ServiceClient, photo: Path, expected: KeypointResult, header: str) -> None:
    answer = client.call(image=header + encoded(photo.read_bytes()))
    assert list(answer) == ["logId", "result", "errorCode", "errorMsg"]
    assert (answer["errorCode"], answer["errorMsg"]) == (0, "Success")
    assert answer["result"]["persons"] == persons_of(expected)
    assert len(answer["result"]["persons"]) == 2
    picture = io.BytesIO()
    expected.img["res"].save(picture, format="JPEG")
    assert base64.b64decode(answer["result"]["image"]) == picture.getvalue()
    with Image.open(photo) as original:
        assert picture_of(answer).size == original.size


def drawn(client: ServiceClient, photo: Path, *choices: dict[str, object]) -> list[bool]:
    """Whether the answer to each choice has a picture."""
    image = encoded(photo.read_bytes())
    results = [client.call(image=image, **choice)["result"] for choice in choices]
    assert all({"persons"} <= set(result) <= {"persons", "image"} for result in results)
    return ["image" in result for result in results]


def test_picture_on_request(client: ServiceClient, photo: Path) -> None:
    choices = [{"visualize": None}, {"visualize": True}, {"visualize": False}]
    assert drawn(client, photo, *choices) == [True, True, False]


def test_picture_by_configuration(plain_client: ServiceClient, photo: Path) -> None:
    choices = [{}, {"visualize": None}, {"visualize": True}, {"visualize": False}]
    assert drawn(plain_client, photo, *choices) == [False, False, True, False]


def test_threshold(client: ServiceClient, photo: Path) -> None:
    image = encoded(photo.read_bytes())
    answers = [
        client.call(image=image, visualize=False, detThreshold=value) for value in (None, 0.6, 1)
    ]
    assert [len(answer["result"]["persons"]) for answer in answers] == [2, 1, 0]


def test_people_found_elsewhere_and_a_region(client: ServiceClient, photo: Path) -> None:
    image = encoded(photo.read_bytes())

    def boxes(**fields: Any) -> list:
        found = client.call(image=image, visualize=False, **fields)["result"]["persons"]
        return [person["bbox"] for person in found]

    detected = boxes()
    assert boxes(personBoxes=detected[::-1]) == detected[::-1]
    assert boxes(personBoxes=[]) == []
    x1, _, x2, bottom = detected[0]
    feet = [[x1, bottom - 2], [x2, bottom - 2], [x2, bottom + 2], [x1, bottom + 2]]
    assert boxes(roi=feet) == detected[:1]
    assert boxes(roi=feet, personBoxes=detected[::-1]) == detected[:1]


def test_nobody_in_the_picture(client: ServiceClient) -> None:
    gray = np.full((120, 160, 3), 127, np.uint8)
    answer = client.call(image=encoded(cv2.imencode(".png", gray)[1].tobytes()))
    assert answer["result"]["persons"] == []
    np.testing.assert_allclose(np.asarray(picture_of(answer)), gray, atol=1)


@pytest.mark.parametrize(
    ("document", "code", "words"),
    [
        ({}, 422, "Field required"),
        ({"image": "@"}, 422, "not base64"),
        ({"image": encoded(b"x"), "detThreshold": 2}, 422, "less than or equal to 1"),
        ({"image": PNG, "personBoxes": [[0, 0, 1, 1]] * 101}, 422, "`personBoxes` has 101 boxes"),
        ({"image": PNG, "roi": [[0, 0], [1, 1]]}, 422, "roi must be a polygon of 3 to 1000"),
        ({"image": "https://host/photo.jpg"}, 403, "URLs are off"),
        ({"image": encoded(b"Dear friend, this is no photo.")}, 422, "it is text, beginning with "),
        ({"image": encoded(b"%PDF-1.7")}, 422, "it is a PDF file"),
        ({"image": encoded(b"\xff\xd8\xff\xe0" + bytes(100))}, 422, "begins like a JPEG file but"),
    ],
)
def test_wrong_requests(
    client: ServiceClient, document: dict[str, Any], code: int, words: str
) -> None:
    answer = client.call(**document, logId="mine")
    assert set(answer) == {"logId", "errorCode", "errorMsg"}
    assert (answer["logId"], answer["errorCode"]) == ("mine", code)
    assert words in answer["errorMsg"]
    assert "127.0.0.1" not in answer["errorMsg"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://localhost/photo.jpg", "its host has an address that is not public"),
        ("http://127.0.0.1:8000/v2/models", "port 8000 is not allowed"),
    ],
)
def test_urls_that_must_not_be_fetched(plain_client: ServiceClient, url: str, words: str) -> None:
    answer = plain_client.call(image=url, logId="mine")
    assert (answer["logId"], answer["errorCode"]) == ("mine", 403)
    assert words in answer["errorMsg"]
