"""Services that ask for an API key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import WebSocketRoute

from browser import Visit, nameless
from rest_service import rest_service
from tritonpose_server.embedded.server import EmbeddedServer

KEY = "the-key-0123456789-/+=_~"
REFUSED = "status of 401"


@pytest.fixture(scope="module")
def locked(server: EmbeddedServer) -> Iterator[str]:
    """A service that asks for a key."""
    with rest_service(server.grpc_url, api_keys=(KEY,)) as address:
        yield address


def test_the_page_asks_for_the_key_once(
    visit: Callable[..., Visit], locked: str, photo: Path
) -> None:
    opened = visit(locked)
    opened.expected = (REFUSED,)
    opened.choose(photo)
    page = opened.page
    page.get_by_label("API key:").fill("a-wrong-key-0123456789")
    assert nameless(page) == []
    page.get_by_role("button", name="Use this key").click()
    page.get_by_label("does not know this API key").fill(KEY)
    page.keyboard.press("Enter")
    opened.wait_for_answer()
    assert opened.persons().count() == 1
    assert page.get_by_role("dialog").count() == 0
    command = page.get_by_label("curl command").inner_text()
    assert '-H "X-API-Key: $TRITONPOSE_API_KEY"' in command
    assert KEY not in page.content()
    asked = len(opened.asked)
    page.reload()
    opened.choose(photo)
    opened.wait_for_answer()
    assert len(opened.asked) == asked + 1


def test_the_webcam_asks_for_the_key(visit: Callable[..., Visit], locked: str) -> None:
    opened = visit(locked)
    page = opened.page
    page.get_by_role("button", name="Use webcam").click()
    page.get_by_label("API key:").fill("a-wrong-key-0123456789")
    page.get_by_role("button", name="Use this key").click()
    page.get_by_label("does not know this API key").fill(KEY)
    page.keyboard.press("Enter")
    page.get_by_role("status").filter(has_text="pictures a second").wait_for()
    assert opened.streams == 3


def test_no_picture_comes_before_the_greeting(visit: Callable[..., Visit], locked: str) -> None:
    opened = visit(locked)
    page = opened.page
    sent: list[str | bytes] = []
    told: list[str | bytes] = []
    routes: list[WebSocketRoute] = []

    def hold(route: WebSocketRoute) -> None:
        """Let the service take long to say that the key is missing."""
        service = route.connect_to_server()
        routes.append(route)
        route.on_message(lambda message: (sent.append(message), service.send(message)))
        service.on_message(lambda message: told.append(message))
        service.on_close(lambda _code, _reason: None)

    page.route_web_socket("**/track", hold)
    page.get_by_role("button", name="Use webcam").click()
    time = "document.querySelector('video.source')?.currentTime > 1"
    opened.pause_until(lambda: bool(told) and page.evaluate(time))
    assert sent == ["{}"]
    routes[0].send(told[0])
    routes[0].close()
    page.get_by_label("API key:").wait_for()


def test_those_without_a_key_are_told(
    visit: Callable[..., Visit], locked: str, photo: Path
) -> None:
    opened = visit(locked)
    opened.expected = (REFUSED,)
    opened.choose(photo)
    opened.page.get_by_label("API key:").wait_for()
    opened.page.keyboard.press("Escape")
    assert opened.error() == "The service requires an API key."
    opened.page.get_by_role("button", name="Try again").click()
    opened.page.get_by_label("API key:").fill(KEY)
    opened.page.keyboard.press("Enter")
    opened.wait_for_answer()
