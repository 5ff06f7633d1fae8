"""Where things are on the page, as boxes of what is seen."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import FloatRect, Locator, Page

from browser import Visit
from rest_service import rest_service

PHONE = {"has_touch": True, "is_mobile": True, "viewport": {"width": 360, "height": 740}}


def box(shown: Locator) -> FloatRect:
    found = shown.bounding_box()
    assert found is not None
    return found


def toolbar(page: Page) -> tuple[FloatRect, ...]:
    """Boxes of the controls that choose a picture."""
    return (
        box(page.locator("label.button.primary")),
        box(page.get_by_role("button", name="Use webcam")),
        box(page.get_by_label("Address of a picture")),
        box(page.get_by_role("button", name="Open")),
    )


def assert_in_a_row(*boxes: FloatRect) -> None:
    """They stand beside each other, with space between."""
    for left, right in pairwise(boxes):
        assert 6 <= right["x"] - (left["x"] + left["width"]) <= 16
        assert left["y"] + left["height"] / 2 == pytest.approx(
            right["y"] + right["height"] / 2, abs=1
        )


@pytest.mark.parametrize("width", [820, 1280])
def test_the_toolbar_is_a_row(visit: Callable[..., Visit], width: int) -> None:
    page = visit(viewport={"width": width, "height": 900}).page
    boxes = toolbar(page)
    assert_in_a_row(*boxes)
    stage = box(page.locator("#stage"))
    assert boxes[0]["x"] == pytest.approx(stage["x"], abs=1)
    assert boxes[-1]["x"] + boxes[-1]["width"] == pytest.approx(stage["x"] + stage["width"], abs=1)
    assert 6 <= stage["y"] - (boxes[0]["y"] + boxes[0]["height"]) <= 24


def test_the_toolbar_wraps_on_a_phone(visit: Callable[..., Visit]) -> None:
    photo, webcam, address, button = toolbar(visit(**PHONE).page)
    assert_in_a_row(photo, webcam)
    assert_in_a_row(address, button)
    assert 6 <= address["y"] - (photo["y"] + photo["height"]) <= 16
    assert button["x"] + button["width"] <= 360


@pytest.mark.parametrize("path", ["", "docs"])
@pytest.mark.parametrize("context", [{}, PHONE], ids=["desktop", "phone"])
def test_the_dialog_for_the_key(
    visit: Callable[..., Visit], photo: Path, context: dict[str, object], path: str
) -> None:
    with rest_service("grpc://127.0.0.1:9", api_keys=("the-key-0123456789",)) as address:
        opened = visit(f"{address}{path}", **context)
        opened.expected = ("status of 401",)
        page = opened.page
        if not path:
            opened.choose(photo)
        dialog = page.get_by_role("dialog")
        dialog.wait_for()
        outer, field = box(dialog), box(page.get_by_label("API key:"))
        cancel = box(page.get_by_role("button", name="Cancel"))
        use = box(page.get_by_role("button", name="Use this key"))
    assert_in_a_row(cancel, use)
    assert cancel["y"] >= field["y"] + field["height"] + 6
    assert use["x"] + use["width"] == pytest.approx(field["x"] + field["width"], abs=1)
    window = page.viewport_size
    assert window is not None
    assert 16 <= outer["x"] == pytest.approx(window["width"] - outer["x"] - outer["width"], abs=1)
    for inner in (field, cancel, use):
        assert outer["x"] + 12 <= inner["x"]
        assert inner["x"] + inner["width"] <= outer["x"] + outer["width"] - 12
