"""What only the REST service has of the contract; the rest is in test_service_contract."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
import requests

from rest_service import rest_service
from service_clients import ENDPOINT, encoded, persons_of
from tritonpose import KeypointResult
from tritonpose_server.embedded.server import EmbeddedServer

# A schema can't require that `image` is an image. And the service accepts more than it describes:
# numbers spelled as strings, as PaddleX does, and any `logId`, which is then ignored.
_LEFT_OUT = "positive_data_acceptance,negative_data_rejection"


@pytest.fixture(scope="module")
def service(server: EmbeddedServer) -> Iterator[str]:
    with rest_service(server.grpc_url) as address:
        yield address


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
    assert json.loads(done.stdout)["result"]["persons"] == persons_of(expected)


def test_a_batch_gives_what_single_requests_give(service: str, photo: Path) -> None:
    small = cv2.imencode(".png", cv2.resize(cv2.imread(str(photo)), None, fx=0.5, fy=0.5))[1]
    images = [photo.read_bytes(), b"no image", small.tobytes(), photo.read_bytes()]
    single = [
        requests.post(
            f"{service}human-keypoint-detection?visualize=false",
            data=image,
            headers={"Content-Type": "image/jpeg"},
            timeout=30,
        ).json()
        for image in images
    ]
    assert [len(each.get("result", {}).get("persons", [])) for each in single] == [2, 0, 2, 2]
    url = f"{service}human-keypoint-detection/batch?visualize=false"
    documents = [{"image": encoded(image)} for image in images]
    files = [("image", (f"{at}.jpg", image)) for at, image in enumerate(images)]
    for body in ({"json": documents}, {"files": files}):
        answer = requests.post(url, **body, stream=True, timeout=30)
        assert answer.headers["content-type"] == "application/x-ndjson"
        lines = {line["index"]: line for line in map(json.loads, answer.iter_lines())}
        for index, expected in enumerate(single):
            got = {key: lines[index].get(key) for key in ("result", "errorCode", "errorMsg")}
            assert got == {key: expected.get(key) for key in got}


@pytest.mark.parametrize("kind", ["grpc_url", "http_url"])
def test_ready(server: EmbeddedServer, kind: str) -> None:
    with rest_service(getattr(server, kind)) as address:
        assert requests.get(f"{address}health/ready", timeout=5).status_code == 200


def test_schemathesis_finds_nothing(service: str, tmp_path: Path) -> None:
    """What the OpenAPI description promises is what the service does, whatever it is sent."""
    done = subprocess.run(
        [
            *(sys.executable, "-c", "import schemathesis.cli; schemathesis.cli.schemathesis()"),
            *("run", f"{service}openapi.json", "--phases", "examples,coverage,fuzzing"),
            *("--exclude-checks", _LEFT_OUT, "--max-examples", "20"),
            *("--seed", "1", "--no-color"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 selected / 6 total" in done.stdout
