"""The webcam, in front of which two people exercise."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from playwright.sync_api import Playwright

from browser import Visit, launch
from rest_service import free_port, rest_service
from tritonpose_server.embedded.server import EmbeddedServer


def start(opened: Visit) -> None:
    opened.page.get_by_role("button", name="Use webcam").click()
    opened.page.get_by_role("status").filter(has_text="pictures a second").wait_for()


def test_people_are_followed_newest_picture_first(visit: Callable[..., Visit]) -> None:
    opened = visit()
    start(opened)
    opened.page.get_by_label("Detection score above").fill("0.3")
    opened.pause_until(lambda: opened.persons().count() >= 2)
    before = len(opened.told)
    opened.pause_until(lambda: len(opened.told) >= before + 10)
    assert opened.streams == 1
    assert opened.most_unanswered <= 2
    # What is asked for is what is shown.
    thresholds = [said["detThreshold"] for said in opened.said if "detThreshold" in said]
    assert thresholds == [0.5, 0.3]
    times = [said["time"] for said in opened.said if "time" in said]
    assert all(one < two for one, two in pairwise(times))
    assert [said.get("reset", False) for said in opened.said[1:3]] == [True, False]
    # The photo stands still.
    assert opened.ids()[-1] == opened.ids()[-5] != []
    assert {1, 2} <= set(opened.ids()[-1])
    assert opened.persons().first.get_attribute("aria-label").startswith("Person 1: ")
    assert "1280 \N{MULTIPLICATION SIGN} 720 pixels" in opened.page.locator("#status").inner_text()


def test_ids_are_drawn(visit: Callable[..., Visit]) -> None:
    """Above the box of a person, in the color of the id."""
    opened = visit()
    start(opened)
    opened.pause_until(lambda: len(opened.ids()) > 5 and opened.ids()[-1][:1] == [1])
    opened.page.get_by_role("button", name="Stop webcam").hover()
    shown = opened.page.evaluate(COLORS_OF_IDS)
    assert shown > 30


# Pixels in the color of the first id.
COLORS_OF_IDS = """() => {
    const canvas = document.querySelector(".frame > canvas:last-of-type");
    const context = document.createElement("canvas").getContext("2d");
    context.fillStyle = "hsl(137.5 85% 60%)";
    context.fillRect(0, 0, 1, 1);
    const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 0; at < data.length; at += 4) {
        const apart = [red, green, blue].map((value, index) => Math.abs(value - data[at + index]));
        if (data[at + 3] > 250 && Math.max(...apart) <= 2) count += 1;
    }
    return count;
}"""


def test_the_focus_stays_while_results_come(visit: Callable[..., Visit]) -> None:
    opened = visit()
    start(opened)
    opened.keypoints().nth(9).focus()
    seen = len(opened.told)
    opened.pause_until(lambda: len(opened.told) >= seen + 3)
    assert opened.keypoints().nth(9).evaluate("node => node === document.activeElement")
    assert opened.tip().startswith("left wrist ")


def test_stopping_leaves_a_picture_to_browse(visit: Callable[..., Visit], tmp_path: Path) -> None:
    opened = visit()
    start(opened)
    opened.page.get_by_role("button", name="Stop webcam").click()
    opened.pause_until(lambda: bool(opened.asked))
    opened.wait_for_answer()
    assert [asked["detThreshold"] for asked in opened.asked] == [0.2]
    sent = opened.sent
    opened.page.wait_for_timeout(500)
    assert opened.sent == sent
    with opened.page.expect_download() as download:
        opened.page.get_by_role("button", name="Save webcam.jpg").click()
    download.value.save_as(tmp_path / "webcam.jpg")
    command = opened.page.get_by_label("curl command").inner_text()
    run = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert len(json.loads(run.stdout)["result"]["persons"]) == opened.persons().count() >= 1


def test_a_photo_ends_the_webcam(visit: Callable[..., Visit], photo: Path) -> None:
    opened = visit()
    start(opened)
    opened.choose(photo)
    opened.wait_for_answer()
    opened.page.wait_for_timeout(500)
    assert "1768 \N{MULTIPLICATION SIGN} 994 pixels" in opened.page.locator("#status").inner_text()
    assert opened.page.get_by_role("button", name="Use webcam").is_visible()


def test_the_camera_can_be_changed(playwright: Playwright, program: str, service: str) -> None:
    two = "--use-fake-device-for-media-stream=device-count=2"
    with launch(playwright, program, two, "--use-fake-ui-for-media-stream") as browser:
        opened = Visit(browser.new_page(), service)
        start(opened)
        camera = opened.page.get_by_label("Camera", exact=True)
        first, second = camera.evaluate("node => [...node.options].map(option => option.value)")
        assert camera.input_value() == first
        camera.select_option(second)
        seen = len(opened.told)
        opened.pause_until(lambda: len(opened.told) >= seen + 3)
        assert camera.input_value() == second
        opened.close()


def test_a_camera_that_is_unplugged_is_told(visit: Callable[..., Visit]) -> None:
    opened = visit()
    opened.page.evaluate(
        "() => { const devices = navigator.mediaDevices;"
        " const open = devices.getUserMedia.bind(devices);"
        " devices.getUserMedia = async (wanted) => (window.opened = await open(wanted)); }"
    )
    start(opened)
    opened.page.evaluate("opened.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
    assert opened.error() == "The camera was disconnected."
    state = "opened.getVideoTracks()[0].readyState"
    opened.pause_until(lambda: opened.page.evaluate(state) == "ended")
    opened.page.get_by_role("button", name="Try again").click()
    opened.page.get_by_role("status").filter(has_text="pictures a second").wait_for()


def test_keeps_trying_while_the_service_is_busy(visit: Callable[..., Visit]) -> None:
    with rest_service(f"grpc://127.0.0.1:{free_port()}") as address:
        opened = visit(address)
        opened.page.get_by_role("button", name="Use webcam").click()
        assert opened.error().startswith("The service cannot process the picture now: ")
        opened.pause_until(lambda: opened.sent >= 4)
        opened.page.get_by_role("button", name="Stop webcam").click()
        sent = opened.sent
        opened.page.wait_for_timeout(1500)
        assert opened.sent == sent


def test_a_service_that_ends_is_told(visit: Callable[..., Visit], server: EmbeddedServer) -> None:
    with rest_service(server.grpc_url) as address:
        opened = visit(address)
        opened.expected = ("Failed to load resource", "WebSocket connection to")
        start(opened)
    told = opened.page.get_by_role("alert").filter(has_text="cannot be reached")
    told.filter(has_text="Is it still running?").wait_for()
    assert opened.page.get_by_role("button", name="Try again").is_visible()


def test_a_refused_webcam_is_told(playwright: Playwright, program: str, service: str) -> None:
    with launch(playwright, program) as browser:
        opened = Visit(browser.new_page(), service)
        opened.page.get_by_role("button", name="Use webcam").click()
        assert "not allowed to use the camera" in opened.error()
        assert opened.page.get_by_role("button", name="Try again").is_visible()
        opened.close()
