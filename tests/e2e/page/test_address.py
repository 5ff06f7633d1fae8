"""Pictures by their address."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from browser import Visit
from file_server import FileServer, Route, file_server
from tritonpose import HumanKeypointPipeline

# What Chromium says of a picture that its site keeps from other sites' scripts.
FORBIDDEN = ("Access-Control-Allow-Origin", "Failed to load resource")


@pytest.fixture
def files() -> Iterator[FileServer]:
    """A web site."""
    with file_server() as running:
        yield running


@pytest.fixture
def opened(visit: Callable[..., Visit], files: FileServer) -> Visit:
    """The page, from which requests to the site are no surprise."""
    page = visit()
    page.expected_hosts = {urlsplit(files.address).netloc}
    return page


def open_address(opened: Visit, address: str) -> None:
    opened.page.get_by_label("Address of a picture").fill(address)
    opened.page.keyboard.press("Enter")


def count(client: HumanKeypointPipeline, photo: Path) -> int:
    (result,) = client.predict(photo, det_threshold=0.5)
    return len(result["boxes"])


def test_the_browser_fetches_what_it_may(
    opened: Visit, photo: Path, client: HumanKeypointPipeline, files: FileServer
) -> None:
    anyone: dict[str, str | None] = {"Access-Control-Allow-Origin": "*"}
    address = files.add("/two%20people.jpg?size=full", Route(photo.read_bytes(), anyone))
    open_address(opened, address)
    opened.wait_for_answer()
    assert opened.persons().count() == count(client, photo)
    command = opened.page.get_by_label("curl command").inner_text()
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert run.stdout.count("detScore") == count(client, photo)
    with opened.page.expect_download() as download:
        opened.page.get_by_role("button", name="JSON").click()
    assert download.value.suggested_filename == "two people_res.json"


def test_the_service_is_asked_for_what_the_browser_may_not_read(
    opened: Visit, photo: Path, files: FileServer
) -> None:
    opened.expected = FORBIDDEN
    address = files.add("/people.jpg", Route(photo.read_bytes()))
    open_address(opened, address)
    error = opened.error()
    assert f"The browser could not download {address}" in error
    assert "URLs are off on this server" in error
    assert opened.asked[0]["image"] == address


def test_shows_what_the_service_fetched(
    opened: Visit, photo: Path, client: HumanKeypointPipeline, files: FileServer
) -> None:
    opened.expected = FORBIDDEN
    opened.let_service_fetch(photo.read_bytes())
    address = files.add("/people.jpg", Route(photo.read_bytes()))
    open_address(opened, address)
    opened.wait_for_answer()
    assert opened.persons().count() == count(client, photo)
    # The first gets the picture without anything drawn on it, the second the people.
    assert [asked["visualize"] for asked in opened.asked] == [True, False]
    assert f'"image": "{address}"' in opened.page.get_by_label("curl command").inner_text()


def test_a_missing_picture_is_told(opened: Visit, files: FileServer) -> None:
    opened.expected = ("404",)
    anyone: dict[str, str | None] = {"Access-Control-Allow-Origin": "*"}
    address = files.add("/gone.jpg", Route(headers=anyone, statuses=[404]))
    open_address(opened, address)
    assert (
        opened.error() == f"{address} could not be downloaded: its server answered with status 404."
    )


@pytest.mark.parametrize("text", ["people.jpg", "file:///etc/passwd", "javascript:alert(1)"])
def test_only_web_addresses_are_taken(opened: Visit, text: str) -> None:
    open_address(opened, text)
    assert opened.error() == (
        f"“{text}” is not a web address: it must begin with https:// or http://."
    )
    assert opened.asked == []
