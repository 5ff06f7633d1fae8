"""The page ``/docs``, which describes the REST interface."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from browser import Visit


@pytest.fixture
def docs(browser: Browser, service: str) -> Iterator[Visit]:
    """The description, opened; afterwards nothing was loaded from other hosts or blocked."""
    visit = Visit(browser.new_page(), f"{service}docs")
    yield visit
    visit.close()


def test_interface_is_shown_and_can_be_tried(docs: Visit) -> None:
    page = docs.page
    page.get_by_text("Find people and their keypoints").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    shown = page.locator(".live-responses-table .response")
    shown.get_by_text("200").first.wait_for()
    text = shown.locator(".highlight-code").first.inner_text()
    answer = json.loads(text[text.index("{") :])
    assert answer["logId"] == docs.asked[0]["logId"]
    assert answer["result"] == {"persons": []}
