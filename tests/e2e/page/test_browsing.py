"""Thresholds, keyboard, touch, small screens, screen readers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from browser import Visit, nameless
from tritonpose import HumanKeypointPipeline

PAGE = Path(__file__).parents[3] / "server/tritonpose_server/service/page"


def test_thresholds_filter_without_another_request(
    visit: Callable[..., Visit], photo: Path, client: HumanKeypointPipeline
) -> None:
    opened = visit()
    opened.choose(photo)
    opened.wait_for_answer()
    counts = []
    for threshold in (0.5, 0.2, 0.3, 1.0):
        opened.page.get_by_label("Detection score above").fill(str(threshold))
        (result,) = client.predict(photo, det_threshold=threshold)
        counts.append(opened.persons().count())
        assert counts[-1] == len(result["boxes"])
        assert f"{counts[-1]} of " in opened.page.locator("#status").inner_text()
    assert counts[1] > counts[0] > counts[3] == 0
    assert len(opened.asked) == 1
    assert opened.asked[0]["detThreshold"] == 0.2
    assert opened.asked[0]["visualize"] is False


def test_the_keypoint_threshold_sets_joints_back(visit: Callable[..., Visit], photo: Path) -> None:
    opened = visit()
    opened.choose(photo)
    opened.wait_for_answer()
    hidden = opened.keypoints().and_(opened.page.get_by_label("not shown"))
    before = hidden.count()
    opened.page.get_by_label("Keypoint score at least").fill("0.5")
    assert 17 > hidden.count() > before
    shown = f"{17 - hidden.count()} of 17 keypoints shown"
    assert shown in (opened.persons().first.get_attribute("aria-label") or "")
    assert len(opened.asked) == 1


@pytest.fixture
def listed(visit: Callable[..., Visit], photo: Path) -> Visit:
    """The page with two people."""
    opened = visit()
    opened.choose(photo)
    opened.wait_for_answer()
    opened.page.get_by_label("Detection score above").fill("0.3")
    assert opened.persons().count() == 2
    return opened


def focused(opened: Visit) -> str:
    """Name of what has the focus."""
    name = opened.page.evaluate(
        "() => { const node = document.activeElement;"
        " return node.ariaLabel || node.labels?.[0]?.textContent || node.textContent; }"
    )
    return " ".join(str(name).split())


def test_the_keyboard_reaches_everything(listed: Visit) -> None:
    listed.page.get_by_role("link", name="REST interface").focus()
    stops = []
    for _ in range(11):
        listed.page.keyboard.press("Tab")
        stops.append(focused(listed).partition(":")[0].partition("{")[0])
    assert stops == [
        "Photo or video",
        "Use webcam",
        "Address of a picture",
        "Open",
        "Detection score above",
        "Keypoint score at least",
        "Person 1",
        "nose",
        "JSON",
        "Picture (PNG)",
        "Copy",
    ]


def test_arrow_keys_go_through_people_and_joints(listed: Visit) -> None:
    keyboard = listed.page.keyboard
    listed.persons().first.focus()
    assert listed.tip().startswith("person 1 detection ")
    keyboard.press("ArrowDown")
    assert listed.tip().startswith("person 2 detection ")
    assert listed.page.get_by_role("heading", name="Keypoints of person 2").is_visible()
    keyboard.press("ArrowDown")  # there is no third
    assert focused(listed).startswith("Person 2:")
    keyboard.press("Tab")
    assert listed.tip().startswith("nose ")
    keyboard.press("End")
    assert listed.tip().startswith("right ankle ")
    assert " person 2:" in listed.tip()
    keyboard.press("ArrowUp")
    assert listed.tip().startswith("left ankle ")
    keyboard.press("Escape")
    assert listed.tip() == ""


def test_the_pointer_highlights_from_the_lists(listed: Visit) -> None:
    listed.persons().nth(1).hover()
    assert listed.tip().startswith("person 2 ")
    listed.page.get_by_role("heading", name="Thresholds").hover()
    assert listed.tip() == ""


def test_a_tap_tells_of_a_joint(
    visit: Callable[..., Visit], photo: Path, client: HumanKeypointPipeline
) -> None:
    opened = visit(has_touch=True, is_mobile=True, viewport={"width": 360, "height": 740})
    opened.choose(photo)
    opened.wait_for_answer()
    (result,) = client.predict(photo, det_threshold=0.5)
    x, y, score = map(float, result["boxes"][0]["keypoints"][15])
    opened.page.touchscreen.tap(*opened.on_screen(x, y))
    assert opened.tip().startswith(f"left ankle {score:.2f} ")
    opened.page.touchscreen.tap(*opened.on_screen(150, 150))
    assert opened.tip() == ""


@pytest.mark.parametrize("width", [320, 360])
def test_a_phone_never_scrolls_sideways(
    visit: Callable[..., Visit], photo: Path, width: int
) -> None:
    opened = visit(has_touch=True, is_mobile=True, viewport={"width": width, "height": 740})

    def widest() -> int:
        return int(opened.page.evaluate("document.documentElement.scrollWidth"))

    assert widest() <= width
    opened.choose(photo)
    opened.wait_for_answer()
    opened.persons().first.tap()
    assert widest() <= width


def test_every_control_has_a_name(visit: Callable[..., Visit], photo: Path) -> None:
    opened = visit()
    assert nameless(opened.page) == []
    opened.choose(photo)
    opened.wait_for_answer()
    assert nameless(opened.page) == []
    assert opened.page.get_by_role("img", name="sample.jpg, 1 person shown").is_visible()


def test_the_focus_is_visible(listed: Visit) -> None:
    listed.page.get_by_role("link", name="REST interface").focus()
    for _ in range(12):
        listed.page.keyboard.press("Tab")
        outline = listed.page.evaluate(
            "getComputedStyle(document.activeElement.closest('label.button')"
            " ?? document.activeElement).outlineStyle"
        )
        assert outline == "solid", focused(listed)


def test_the_page_is_small() -> None:
    assert sum(path.stat().st_size for path in PAGE.iterdir()) < 80_000
