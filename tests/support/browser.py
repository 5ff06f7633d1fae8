"""Chromium, and what a web page does in it, for tests."""

from __future__ import annotations

import json
import re
import shutil
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Locator,
    Page,
    Playwright,
    Request,
    Route,
    WebSocket,
)

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
)


def find_chromium() -> str | None:
    """Path of a browser of this machine."""
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


def launch(playwright: Playwright, program: str, *options: str) -> Browser:
    """Start a browser without a window."""
    return playwright.chromium.launch(
        executable_path=program, args=[*_OPTIONS, *options], headless=True
    )


class Visit:
    """The page of a service, opened.

    Attributes:
        page: What Playwright knows of it.
        address: Of the service, with a slash at its end.
        asked: Bodies of the requests for keypoints so far.
        most_at_once: How many of them have been under way at the same time.
        streams: How many WebSockets were opened so far.
        said: Texts that were sent by them, parsed.
        sent: How many pictures were.
        told: Answers to them, parsed.
        most_unanswered: How many pictures have been without an answer at the same time.
        expected: Parts of complaints that the test expects.
        expected_hosts: Hosts besides the service's to which requests are to go.
        complaints: Other errors and warnings in the browser's console.
    """

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.asked: list[dict[str, Any]] = []
        self.most_at_once = 0
        self.streams = self.sent = self.most_unanswered = 0
        self.said: list[dict[str, Any]] = []
        self.told: list[dict[str, Any]] = []
        self.expected: tuple[str, ...] = ()
        self.expected_hosts: set[str] = set()
        self.complaints: list[str] = []
        self._under_way = 0
        self._hosts: set[str] = set()
        page.on("request", self._on_request)
        page.on("requestfinished", self._on_end)
        page.on("requestfailed", self._on_end)
        page.on("websocket", self._on_stream)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._on_console)
        page.goto(address)

    def _on_request(self, request: Request) -> None:
        if request.url.startswith(("http:", "https:")):
            self._hosts.add(urlsplit(request.url).netloc)
        if _asks(request):
            self.asked.append(json.loads(request.post_data or "null"))
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)

    def _on_stream(self, stream: WebSocket) -> None:
        self._hosts.add(urlsplit(stream.url).netloc)
        self.streams += 1
        unanswered = 0

        def on_sent(payload: str | bytes) -> None:
            nonlocal unanswered
            # Chromium says nothing of pictures; but each comes behind a text with its time.
            said = json.loads(payload)
            self.said.append(said)
            if "time" in said:
                self.sent += 1
                unanswered += 1
                self.most_unanswered = max(self.most_unanswered, unanswered)

        def on_told(payload: str | bytes) -> None:
            nonlocal unanswered
            answer = json.loads(payload)
            if answer["errorMsg"] != "Ready":
                unanswered -= 1
                self.told.append(answer)

        stream.on("framesent", on_sent)
        stream.on("framereceived", on_told)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        if not any(part in message.text for part in self.expected):
            self.complaints.append(message.text)

    def _on_end(self, request: Request) -> None:
        if _asks(request):
            self._under_way -= 1

    def close(self) -> None:
        """End the visit, of whose page there must be nothing unexpected to say."""
        self.page.context.close()
        assert not self.complaints, self.complaints
        others = self._hosts - {urlsplit(self.address).netloc, *self.expected_hosts}
        assert not others, others

    def let_service_fetch(self, data: bytes) -> None:
        """Stand between page and service as if the latter fetched addresses, all this file."""

        def fetch(route: Route) -> None:
            body = json.loads(route.request.post_data or "null")
            if body["image"].startswith("http"):
                body["image"] = b64encode(data).decode()
            route.continue_(post_data=json.dumps(body))

        self.page.route("**/human-keypoint-detection", fetch)

    def choose(self, *files: Path) -> None:
        """Pick a photo."""
        self.page.get_by_label("Photo or video").set_input_files(files)

    def ids(self) -> list[list[int | None]]:
        """Ids of the people in the answers so far, of those with a result."""
        results = [each["result"] for each in self.told if "result" in each]
        return [[person["trackId"] for person in each["persons"]] for each in results]

    def wait_for_answer(self) -> None:
        """Wait until the service has answered and its answer is shown."""
        self.page.get_by_role("status").filter(has_text="answered in").wait_for()

    def pause_until(self, condition: Callable[[], bool]) -> None:
        """Let the page work until a condition comes true."""
        for _ in range(600):
            if condition():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError("it never came true")

    def error(self) -> str:
        """Wait for an error and return it."""
        message = self.page.get_by_role("alert").get_by_role("paragraph")
        message.wait_for()
        return message.inner_text()

    def error_shown(self) -> str:
        """The error that is shown now; empty if none is."""
        message = self.page.get_by_role("alert").get_by_role("paragraph")
        return message.inner_text() if message.is_visible() else ""

    def persons(self) -> Locator:
        """Rows of the list of people."""
        return self.page.get_by_role("listbox", name="People").get_by_role("option")

    def keypoints(self) -> Locator:
        """Rows of the list of keypoints."""
        return self.page.get_by_role("listbox", name="Keypoints of person").get_by_role("option")

    def tip(self) -> str:
        """What the page shows of the highlighted place, in one line; empty if nothing is."""
        tip = self.page.locator(".tip")
        return " ".join(tip.inner_text().split()).lower() if tip.is_visible() else ""

    def on_screen(self, x: float, y: float) -> tuple[float, float]:
        """Where in the window a pixel of the picture is, which has to be in view."""
        picture = self.page.locator(".frame img")
        box = picture.bounding_box()
        assert box is not None
        width, height = picture.evaluate("image => [image.naturalWidth, image.naturalHeight]")
        return box["x"] + x * box["width"] / width, box["y"] + y * box["height"] / height


def _asks(request: Request) -> bool:
    return request.method == "POST" and request.url.endswith("/human-keypoint-detection")


def nameless(page: Page) -> list[str]:
    """Controls and pictures in the accessibility tree that a screen reader can't name."""
    roles = "button|link|textbox|slider|combobox|listbox|option|img"
    return re.findall(rf"^ *- (?:{roles})(?: \[.*)?:?$", page.locator("body").aria_snapshot(), re.M)
