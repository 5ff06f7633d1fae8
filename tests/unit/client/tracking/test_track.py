"""The results of ``track``, and their order."""

import json
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from file_server import Route, file_server
from stand_ins import Pipeline
from street import Street, image, images, place, shown
from tritonpose import ConfigError, ServerError
from tritonpose.tracking import TrackedResult, Tracker, TrackingSettings
from tritonpose.transport.messages import InferRequest, PoseResponse
from videos import number_of, write_video

Make = Callable[..., Pipeline]


@pytest.fixture(params=["sync", "async", "async inputs"])
def make(request: pytest.FixtureRequest) -> Make:
    return partial(Pipeline, request.param)


def content(results: list[TrackedResult]) -> list[Any]:
    return [
        (
            one.source_index,
            one.frame_index,
            one.timestamp,
            one.track_ids,
            one.arrays.keypoints.tolist(),
        )
        for one in sorted(results, key=lambda one: (one.source_index, one.frame_index or 0))
    ]


@pytest.mark.parametrize(
    "choice", [{}, {"det_interval": 3}, {"det_interval": "auto"}, {"smooth": "offline"}], ids=str
)
def test_ids_are_the_same_however_many_are_in_flight(make: Make, choice: dict[str, Any]) -> None:
    found = []
    for limit in (1, 4, 16):
        street = Street(lambda number: time.sleep(0.002 * (number * 7 % 5)))
        with make(street, max_in_flight=limit) as pipeline:
            results = list(pipeline.track(images(40), **choice))
        assert [result.frame_index for result in results] == list(range(40))
        found.append(content(results))
    assert found[0] == found[1] == found[2]
    for result in results:
        number = result.frame_index
        assert result.source == "frames"
        assert result["input_img"][0, 0, 0] == number
        at = shown(result)
        assert set(at) == {1, 2}
        assert abs(at[1] - place(0, number)[0]) < 3
        assert abs(at[2] - place(1, number)[0]) < 3


def test_a_region_of_interest_may_leave_followed_people_out(make: Make) -> None:
    class Zone(Street):
        def answer(self, request: InferRequest, number: int) -> PoseResponse:
            found = super().answer(request, number)
            inside = found.boxes[:, 2] < 240
            return PoseResponse(*(part[inside] for part in list(vars(found).values())[:4]))

    with make(street := Zone()) as pipeline:
        results = list(
            pipeline.track(images(40), det_interval=4, roi=[[0, 0], [240, 0], [240, 239]])
        )
    assert all(request.roi is not None for request in street.requests)
    for result in results:
        at = shown(result)
        assert abs(at[1] - place(0, result.frame_index)[0]) < 3 if 1 in at else True
    assert set(shown(results[20])) == {1, 2}


@pytest.mark.parametrize("interval", [1, 4])
def test_errors_are_results_or_raised(make: Make, interval: int) -> None:
    def behave(number: int) -> None:
        if number == 5:
            raise ServerError("broken")

    with make(Street(behave)) as pipeline:
        results = list(pipeline.track(images(12), det_interval=interval, on_error="collect"))
        assert [str(one.error) for one in results if one.error] == ["broken"]
        assert [one.track_ids for one in results if not one.error] == [(1, 2)] * 11
        for smooth in (True, "offline"):
            taken = []
            with pytest.raises(ServerError):
                taken.extend(pipeline.track(images(12), det_interval=interval, smooth=smooth))
            rest = pipeline.track(images(12), det_interval=interval, smooth=smooth)
            assert [next(rest).frame_index for _ in range(5)] == [0, 1, 2, 3, 4]
            with pytest.raises(ServerError):
                next(rest)


def test_the_state_goes_on_where_it_was(make: Make) -> None:
    with make(Street()) as pipeline:
        whole = list(pipeline.track((image(n), n / 25) for n in range(40)))
        tracker = Tracker()
        first = []
        for result in pipeline.track(((image(n), n / 25) for n in range(40)), tracker=tracker):
            first.append(result)
            if len(first) == 17:
                break
        again = Tracker.from_state(json.loads(json.dumps(tracker.state())))
        rest = list(pipeline.track(((image(n), n / 25) for n in range(17, 40)), tracker=again))
    found = [(one.track_ids, one.arrays.keypoints.tolist()) for one in first + rest]
    assert found == [(one.track_ids, one.arrays.keypoints.tolist()) for one in whole]


@pytest.mark.parametrize(
    "wrong",
    [
        {"det_interval": 0},
        {"det_interval": True},
        {"det_interval": 2.0},
        {"det_interval": "often"},
        {"smooth": "online"},
        {"smooth": 1},
        {"tracker": {}},
        {"det_threshold": 1.5},
        {"roi": [[0, 0]]},
        {"on_error": "ignore"},
        {"source": 3.5},
        {"source": []},
        {"source": ["a.mp4", "b.mp4"], "tracker": Tracker()},
        {"det_threshold": 0.6, "tracker": Tracker()},
        {"smooth": False, "tracker": Tracker()},
        {"smooth": "offline", "tracker": Tracker()},
    ],
    ids=lambda wrong: "-".join(wrong),
)
def test_wrong_arguments_are_errors_at_the_call(make: Make, wrong: dict[str, Any]) -> None:
    with make(Street()) as pipeline, pytest.raises(ConfigError):
        pipeline.track(**{"source": "clip.mp4", **wrong})


def test_arguments_may_repeat_what_a_tracker_has(make: Make) -> None:
    tracker = Tracker(TrackingSettings(smooth=False).with_threshold(0.6))
    with make(Street()) as pipeline:
        frames = (image(n) for n in range(3))
        assert list(pipeline.track(frames, det_threshold=0.6, smooth=False, tracker=tracker))


def test_leaving_early_leaves_no_thread_behind(make: Make) -> None:
    with make(Street()) as pipeline:
        results = pipeline.track(images(100))
        assert next(results).track_ids == (1, 2)
        results.close()
        assert not [one for one in threading.enumerate() if one.name == "tritonpose-frames"]
        pipeline.close()
        with pytest.raises(RuntimeError, match="closed"):
            pipeline.track("clip.mp4")


def test_offline_fills_gaps_and_numbers_people_from_the_start(make: Make) -> None:
    street = Street()
    # The second one comes in frame 3; the first is unseen in frames 8 to 9, and from 20 to 27.
    gone = {*range(8, 10), *range(20, 28)}
    street.present = lambda number: tuple(
        one for one in (0, 1) if (one == 1 and number >= 3) or (one == 0 and number not in gone)
    )
    with make(street) as pipeline:
        results = list(pipeline.track(images(32), smooth="offline"))
    ids = [set(result.track_ids) for result in results]
    assert ids[2:5] == [{1}, {1, 2}, {1, 2}]
    assert ids[7:11] == [{1, 2}] * 4
    assert ids[20:28] == [{2}] * 8
    for number in (8, 9):
        assert abs(shown(results[number])[1] - place(0, number)[0]) < 3


def test_offline_reads_the_frames_of_a_file_again(make: Make, tmp_path: Path) -> None:
    frames = [np.full((48, 64, 3), 10 * number, np.uint8) for number in range(12)]
    path = write_video(tmp_path / "clip.mp4", frames)
    with make(Street()) as pipeline:
        results = list(pipeline.track([path, str(path)], smooth="offline"))
    assert [result.frame_index for result in results] == [*range(12)] * 2
    assert [number_of(result["input_img"]) for result in results] == [*range(12)] * 2
    assert {result.source for result in results} == {str(path)}


def test_offline_asks_again_for_the_frames_of_an_address(make: Make, tmp_path: Path) -> None:
    frames = [np.full((48, 64, 3), 10 * number, np.uint8) for number in range(12)]
    video = write_video(tmp_path / "clip.mp4", frames).read_bytes()
    with file_server() as server, make(Street()) as pipeline:
        address = server.add("/clip.mp4", Route(video))
        results = list(pipeline.track(address, smooth="offline"))
        assert [number_of(result["input_img"]) for result in results] == [*range(12)]
        assert server.paths() == ["/clip.mp4"] * 2


@pytest.mark.parametrize("after", [Route(status=404), Route(status=503), None])
def test_offline_frames_that_are_gone(make: Make, tmp_path: Path, after: Route | None) -> None:
    """After five frames, or all of them, an address or a file gives no more."""
    frames = [np.full((48, 64, 3), 10 * number, np.uint8) for number in range(12)]
    path = write_video(tmp_path / "clip.mp4", frames)
    whole = path.read_bytes()
    shorter = write_video(tmp_path / "shorter.mp4", frames[:5])

    def change(number: int) -> None:
        if after is not None:
            server.add("/clip.mp4", after)
        elif number > 105 and shorter.exists():
            shorter.replace(path)

    with file_server() as server, make(Street(change)) as pipeline:
        address = server.add("/clip.mp4", Route(whole)) if after else str(path)
        results = list(pipeline.track(address, smooth="offline", on_error="collect"))
        assert len(results) == 12
        kept = 0 if after else 5
        for result in results[:kept]:
            assert number_of(result["input_img"]) == result.frame_index
        for result in results[kept:]:
            assert "was read again, to get its frames, and has changed" in str(result.error)
            assert result.frame_index is not None


def test_offline_needs_an_end() -> None:
    with Pipeline("sync", Street()) as pipeline:
        with pytest.raises(ConfigError, match="end"):
            pipeline.track(0, smooth="offline")
        with pytest.raises(ConfigError, match="smooth=False"):
            pipeline.track("clip.mp4", smooth="offline", tracker=Tracker())
