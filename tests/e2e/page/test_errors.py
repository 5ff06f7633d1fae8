"""Plain messages for everything that can go wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from browser import Visit
from rest_service import free_port, rest_service
from tritonpose_server.embedded.server import EmbeddedServer

LOADING_FAILED = "Failed to load resource"


def test_a_text_file_is_refused_without_a_request(
    visit: Callable[..., Visit], tmp_path: Path
) -> None:
    notes = tmp_path / "notes.jpg"
    notes.write_text("Buy milk.")
    opened = visit()
    opened.choose(notes)
    assert opened.error() == (
        "“notes.jpg” is not a picture that the service reads: it reads JPEG, PNG, WebP and BMP "
        "files."
    )
    assert opened.asked == []


def test_a_damaged_picture_is_told_and_the_last_one_stays(
    visit: Callable[..., Visit], photo: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(photo.read_bytes()[:200])
    opened = visit()
    opened.choose(photo)
    opened.wait_for_answer()
    opened.choose(damaged)
    assert "“damaged.jpg” begins like a JPEG file" in opened.error()
    assert opened.persons().count() == 1


def test_a_service_that_is_gone_can_be_tried_again(
    visit: Callable[..., Visit], server: EmbeddedServer, photo: Path
) -> None:
    port = free_port()
    with rest_service(server.grpc_url, port) as address:
        opened = visit(address)
    opened.expected = (LOADING_FAILED,)
    opened.choose(photo)
    assert opened.error() == (
        f"The service at 127.0.0.1:{port} cannot be reached. Is it still running?"
    )
    with rest_service(server.grpc_url, port):
        opened.page.get_by_role("button", name="Try again").click()
        opened.wait_for_answer()
        assert opened.persons().count() == 1
        assert not opened.page.get_by_role("button", name="Try again").is_visible()


def test_a_service_without_its_server_can_be_tried_again(
    visit: Callable[..., Visit], photo: Path
) -> None:
    with rest_service(f"grpc://127.0.0.1:{free_port()}") as address:
        opened = visit(address)
        opened.expected = (LOADING_FAILED,)
        opened.choose(photo)
        error = opened.error()
    assert error.startswith("The service cannot process the picture now: ")
    assert error.endswith("; try again later.")
    assert opened.page.get_by_role("button", name="Try again").is_visible()


@pytest.mark.parametrize("limit", [1000, 300_000])
def test_a_picture_that_is_too_large_is_told(
    visit: Callable[..., Visit], server: EmbeddedServer, photo: Path, limit: int
) -> None:
    assert photo.stat().st_size > limit
    with rest_service(server.grpc_url, max_body_bytes=limit) as address:
        opened = visit(address)
        opened.expected = (LOADING_FAILED,)
        opened.choose(photo)
        error = opened.error()
    assert error.startswith("The picture is too large for the service: ")
    assert f"{limit / 1e6:g} MB" in error
    assert not opened.page.get_by_role("button", name="Try again").is_visible()


def test_a_connection_cut_while_sending_is_told(visit: Callable[..., Visit], photo: Path) -> None:
    opened = visit()
    opened.expected = (LOADING_FAILED,)
    opened.page.route("**/human-keypoint-detection", lambda route: route.abort("connectionreset"))
    opened.choose(photo)
    assert opened.error() == (
        "The service closed the connection while the picture was being sent (0.7 MB as base64): "
        "it is probably larger than the service accepts."
    )


def test_the_reason_of_the_service_is_told(visit: Callable[..., Visit], tmp_path: Path) -> None:
    wide = tmp_path / "wide.png"
    Image.new("RGB", (33_000, 8)).save(wide)
    opened = visit()
    opened.expected = (LOADING_FAILED,)
    opened.choose(wide)
    assert opened.error() == (
        "The service answered: the image is 33000x8; sides up to 32766 pixels are supported: "
        "downscale it first."
    )
