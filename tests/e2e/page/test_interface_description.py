"""The page ``/docs``, which describes the REST interface."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Browser

from browser import Visit
from rest_service import rest_service
from tritonpose_server.embedded.server import EmbeddedServer


@pytest.mark.parametrize("keys", [(), ("the-key-0123456789-/+=_~",)], ids=["open", "key"])
def test_interface_is_shown_and_can_be_tried(
    browser: Browser, server: EmbeddedServer, keys: tuple[str, ...]
) -> None:
    with rest_service(server.grpc_url, api_keys=keys) as address:
        visit = Visit(browser.new_page(), f"{address}docs")
        page = visit.page
        for key in keys:
            visit.expected = ("status of 401",)
            page.get_by_label("API key:").fill(key)
            page.keyboard.press("Enter")
        page.get_by_text("Find people and their keypoints", exact=True).click()
        page.get_by_role("button", name="Try it out").click()
        page.get_by_role("button", name="Execute").click()
        shown = page.locator(".live-responses-table .response")
        shown.get_by_text("200").first.wait_for()
        text = shown.locator(".highlight-code").first.inner_text()
        answer = json.loads(text[text.index("{") :])
        assert answer["logId"] == visit.asked[-1]["logId"]
        assert answer["result"] == {"persons": []}
        visit.close()
