"""A browser at the page of a real service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright, ViewportSize, sync_playwright

from browser import Visit, find_chromium, launch
from rest_service import rest_service
from tritonpose import HumanKeypointPipeline, create_pipeline
from tritonpose_server.embedded.server import EmbeddedServer

# Larger than what the tests show of the page: nothing need be scrolled.
DESKTOP: ViewportSize = {"width": 1280, "height": 1400}

_VIDEO_FRAMES = 30


@pytest.fixture(scope="session")
def service(server: EmbeddedServer) -> Iterator[str]:
    """Address of a service with its usual settings."""
    with rest_service(server.grpc_url) as address:
        yield address


@pytest.fixture(scope="session")
def client(server: EmbeddedServer) -> Iterator[HumanKeypointPipeline]:
    """The Python client of the same server."""
    with create_pipeline("human_keypoint_detection", url=server.grpc_url) as pipeline:
        yield pipeline


@pytest.fixture(scope="session")
def program() -> str:
    """A browser's path."""
    path = find_chromium()
    if path is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    return path


# Not for the whole session: as long as Playwright runs, no other test can use asyncio.
@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """What drives browsers."""
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(
    playwright: Playwright,
    program: str,
    photo: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Browser]:
    """A browser whose webcam shows the sample photo."""
    video = tmp_path_factory.mktemp("webcam") / "webcam.mjpeg"
    video.write_bytes(photo.read_bytes() * _VIDEO_FRAMES)
    camera = ("--use-fake-ui-for-media-stream", f"--use-file-for-fake-video-capture={video}")
    with launch(playwright, program, *camera) as running:
        yield running


@pytest.fixture
def visit(browser: Browser, service: str) -> Iterator[Callable[..., Visit]]:
    """Opens the page; the arguments are those of a browser's context."""
    visits = []

    def open_page(address: str = service, **context: Any) -> Visit:
        options = {"viewport": DESKTOP, **context}
        visits.append(Visit(browser.new_context(**options).new_page(), address))
        return visits[-1]

    yield open_page
    for opened in visits:
        opened.close()
