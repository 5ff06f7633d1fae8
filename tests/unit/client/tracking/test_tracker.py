"""A tracker that is used without a pipeline: its arguments, its state, its numbers."""

import json
import math
from typing import Any

import numpy as np
import pytest

from tritonpose import ConfigError, KeypointResult, ServerError
from tritonpose.tracking import TrackedResult, Tracker, TrackingSettings
from tritonpose.transport.messages import PoseResponse
from tritonpose_pipeline.keypoint_schema import KeypointSchema

POSES = np.random.default_rng(5).uniform(0, 1, (301, 133, 2))


def found(*people: tuple[float, float], joints: int = 17) -> KeypointResult:
    """People of 50 x 100 pixels, by horizontal place and score; each has a pose of its own."""
    boxes = np.array([[x, 50, x + 50, 150] for x, _ in people], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score in people], np.float32)
    points = [
        np.column_stack([POSES[index, :joints] * (50, 100) + (x, 50), np.full(joints, 0.9)])
        for index, (x, _) in enumerate(people)
    ]
    keypoints = np.array(points, np.float32).reshape(-1, joints, 3)
    schema = KeypointSchema(tuple(map(str, range(joints)))) if joints != 17 else None
    means = np.full(len(people), 0.9, np.float32)
    return KeypointResult(
        "clip.mp4", None, PoseResponse(boxes, scores, keypoints, means, keypoint_schema=schema)
    )


def ids(tracker: Tracker, *frames: KeypointResult) -> list[tuple[int | None, ...]]:
    return [tracker.update(frame, number / 10).track_ids for number, frame in enumerate(frames)]


def test_people_of_the_first_frame_have_numbers_at_once() -> None:
    assert ids(Tracker(), found((100, 0.9), (300, 0.8))) == [(1, 2)]


def test_others_have_one_when_they_are_seen_again() -> None:
    frames = [found((100, 0.9)), found((100, 0.9), (300, 0.8)), found((101, 0.9), (300, 0.8))]
    assert ids(Tracker(), *frames, found((300, 0.8))) == [(1,), (1, None), (1, 2), (2,)]


def test_who_is_seen_once_is_nobody() -> None:
    lone = found((100, 0.9), (300, 0.8))
    frames = [found((100, 0.9)), lone, found((100, 0.9)), lone]
    assert ids(Tracker(), *frames) == [(1,), (1, None), (1,), (1, None)]


def test_weak_detections_continue_tracks_and_begin_none() -> None:
    frames = [found((100, 0.9), (300, 0.55)), found((101, 0.4), (300, 0.45))]
    assert ids(Tracker(), *frames) == [(1, None), (1,)]


def test_a_score_must_exceed_the_threshold() -> None:
    assert ids(Tracker(), found((100, 0.9), (300, 0.5))) == [(1,)]


@pytest.mark.parametrize(("unseen", "number"), [(8, 1), (12, 2)])
def test_numbers_are_kept_for_a_second(unseen: int, number: int) -> None:
    frames = [found((100, 0.9))] * 3 + [found()] * unseen + [found((100, 0.9))] * 2
    assert ids(Tracker(), *frames)[-1] == (number,)


def test_results_have_what_predict_gives_and_more() -> None:
    result = Tracker().update(found((100, 0.9)), 1.5)
    assert isinstance(result, TrackedResult)
    assert (result.source, result.timestamp, result.frame_index) == ("clip.mp4", 1.5, None)
    content = result.json["res"]
    assert content["boxes"][0]["track_id"] == 1
    assert (content["timestamp"], content["source"]) == (1.5, "clip.mp4")
    result["boxes"][0]["track_id"] = 7
    assert result.track_ids == (7,)
    assert result.arrays.boxes.shape == (1, 4)


@pytest.mark.parametrize("joints", [1, 3, 26, 133])
def test_any_keypoints_will_do(joints: int) -> None:
    frames = [found((100 + 5 * n, 0.9), (400 - 5 * n, 0.8), joints=joints) for n in range(10)]
    assert ids(Tracker(), *frames) == [(1, 2)] * 10


def test_another_keypoint_model_begins_again() -> None:
    assert ids(Tracker(), found((100, 0.9)), found((100, 0.9), joints=26)) == [(1,), (None,)]


def test_errors_stay_errors_and_change_nothing() -> None:
    tracker = Tracker()
    tracker.update(found((100, 0.9)), 0)
    before = tracker.state()
    failed = tracker.update(KeypointResult("clip.mp4", error=ServerError("broken")), 0.1)
    assert str(failed.error) == "broken"
    assert (failed.track_ids, failed["boxes"]) == ((), [])
    assert tracker.state() == before


def test_the_same_time_twice_is_fine() -> None:
    tracker = Tracker()
    assert [tracker.update(found((100, 0.9)), 1).track_ids for _ in range(3)] == [(1,)] * 3


@pytest.mark.parametrize("time", [0.9, math.nan, math.inf, "1", None, True])
def test_times_are_numbers_and_go_on(time: Any) -> None:
    tracker = Tracker()
    tracker.update(found((100, 0.9)), 1.0)
    with pytest.raises(ConfigError, match=r"time=.*(seconds|order)"):
        tracker.update(found((100, 0.9)), time)


def test_the_state_is_json_and_small() -> None:
    tracker = Tracker(TrackingSettings(keep_s=3, smooth=False))
    frames = [found((100 + 3 * n, 0.9), (300, 0.8)) for n in range(6)]
    for number, frame in enumerate(frames[:3]):
        tracker.update(frame, number / 10)
    text = json.dumps(tracker.state())
    assert len(text) < 20_000
    again = Tracker.from_state(json.loads(text))
    assert again.settings == tracker.settings
    for number in range(3, 6):
        one, other = (each.update(frames[number], number / 10) for each in (tracker, again))
        assert one.json == other.json
    assert again.state() == tracker.state()


@pytest.mark.parametrize(
    "change",
    [
        {"version": 0},
        {"next_id": None},
        {"tracks": [{}]},
        {"settings": {"unknown": 1}},
        {"settings": {"keep_s": -1}},
        {"time": "x"},
        {"time": math.nan},
        {"step": math.inf},
        {"next_id": 10**400},
        {"next_key": 0},
        {"tracks": 5},
        {"settings": [1]},
        {"settings": {1: 2}},
    ],
    ids=lambda change: str(change)[:40],
)
def test_a_damaged_state_is_an_error(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Tracker.from_state({**Tracker().state(), **change})
    with pytest.raises(ConfigError):
        Tracker.from_state("{}")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"det_threshold": 1.1},
        {"keep_s": math.inf},
        {"keep_s": math.nan},
        {"keep_s": -0.1},
        {"min_similarity": "0.2"},
        {"smooth": 1},
        {"frozen_score": 0.5},
        {"new_threshold": True},
    ],
    ids=str,
)
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TrackingSettings(**wrong)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "1"),
        ("id", 0),
        ("id", True),
        ("id", 3),
        ("key", 9),
        ("key", None),
        ("keypoints", [[math.nan, 0, 0]] * 17),
        ("keypoints", [[1, 2, 0.5]] * 16),
        ("keypoints", "points"),
        ("offsets", [[1, 2, 0.5]] * 16),
        ("seen", 1e300),
        ("margins", [0, 0, 0]),
        ("coasted", math.inf),
        ("motion", {"place": [0, 0], "speed": [0, 0], "sides": [1, 1], "spread": [-1, 0, 0]}),
        ("motion", []),
        ("pose", {"points": [[1, 2]], "speeds": [], "center": [0, 0], "time": 0}),
        ("pose", {"points": [[1, 2]], "speeds": [[1, 2]], "center": [0, 0], "time": None}),
    ],
)
def test_a_track_that_was_changed_is_an_error(name: str, value: Any) -> None:
    tracker = Tracker()
    tracker.update(found((100, 0.9), (300, 0.8)), 0)
    state = json.loads(json.dumps(tracker.state()))
    Tracker.from_state(state)
    state["tracks"][1][name] = value
    with pytest.raises(ConfigError, match="state: it is damaged"):
        Tracker.from_state(state)


def test_crowds_have_an_end() -> None:
    """Nothing grows without bound, whatever a server answers and however little time passes."""
    tracker = Tracker()
    with pytest.raises(ConfigError, match="301 people in a frame"):
        tracker.update(found(*((100 * n, 0.9) for n in range(301)), joints=1), 0)
    places = np.arange(60) * 100.0
    for number in range(24):
        shift = 10_000 * (number // 2)
        frame = found(*((x + shift, 0.9) for x in places), joints=1)
        tracker.update(frame, number / 1e6)
    assert len(tracker.state()["tracks"]) == 500
    assert tracker.update(frame, 1).track_ids[:2] == (661, 662)
