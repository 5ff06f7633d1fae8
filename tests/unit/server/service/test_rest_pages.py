"""The REST service's pages, and its description of itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from openapi_spec_validator import validate

from rest_service import rest_client

PATH = "/human-keypoint-detection"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with rest_client() as running:
        yield running


def test_description_is_valid_and_complete(client: httpx.Client) -> None:
    description = client.get("/openapi.json").json()
    validate(description)
    documented = {(path, method) for path, each in description["paths"].items() for method in each}
    assert documented == {
        (PATH, "post"),
        (f"{PATH}/batch", "post"),
        (f"{PATH}/track", "get"),
        ("/health", "get"),
        ("/health/ready", "get"),
        ("/metrics", "get"),
    }
    infer = description["paths"][PATH]["post"]
    assert set(infer["responses"]) == {
        *("200", "401", "403", "408", "413", "415", "422", "500", "502", "503", "504")
    }
    content = infer["requestBody"]["content"]
    assert set(content) == {
        *("application/json", "multipart/form-data", "application/octet-stream"),
        *("image/jpeg", "image/png", "image/webp", "image/bmp"),
    }
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/InferRequest"}
    fields = description["components"]["schemas"]["InferRequest"]
    assert fields["required"] == ["image"]
    assert set(fields["properties"]) == {
        *("image", "detThreshold", "personBoxes", "roi", "fastDecode", "visualize", "logId")
    }
    assert all(field["description"] for field in fields["properties"].values())
    models = description["components"]["schemas"]
    assert set(models) == {
        *("InferResponse", "InferResult", "KeypointDescription", "Person"),
        *("NoResultResponse", "ReadyResponse"),
        *("InferRequest", "InferForm", "InferBatchForm", "BatchLine"),
    }
    for model in models.values():
        assert model["description"]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_from_elsewhere(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.headers["content-type"].startswith("text/html")
    policy = response.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    linked = re.findall(r'(?:src|href)="([^"]*)"', response.text)
    assert linked
    for link in linked:
        assert not re.match(r"[a-z]+:|//", link)
        assert client.get(f"/{link}").status_code == 200
    assert not re.search(r"<style|<script>|\son\w+=|style=", response.text)


def test_the_page_begins_at_the_threshold_of_the_pipeline() -> None:
    with rest_client(page_threshold=0.35) as client:
        page = client.get("/").text
    assert re.findall(r'id="detection"[^>]* value="([^"]*)"', page) == ["0.35"]
    assert re.findall(r'id="keypoint"[^>]* value="([^"]*)"', page) == ["0.1"]


def test_headers_of_every_answer(client: httpx.Client) -> None:
    for path in ("/", "/docs", "/page/style.css", "/health", "/metrics", "/nowhere"):
        headers = client.get(path, headers={"X-Request-ID": "mine"}).headers
        assert headers.get_list("x-request-id") == ["mine"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-cache"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        # For the picture at an address that its user names.
        anywhere = "connect-src 'self' https: http:" in headers["content-security-policy"]
        assert anywhere is (path == "/")
