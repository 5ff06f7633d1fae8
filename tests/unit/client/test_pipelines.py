"""Requests in flight: their number, the order of results, early ends, the place of errors."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from stand_ins import Pipeline, StandIn, frame, frames, numbers
from tritonpose import ConfigError, InputError, InvalidRequestError, ServerUnavailableError
from tritonpose.base_pipeline import OnError
from tritonpose.config import DetectorConfig, KeypointConfig, PipelineConfig

Make = Callable[..., Pipeline]


@pytest.fixture(params=["sync", "async", "async inputs"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes a pipeline of either kind, or one whose iterators are made asynchronous, too."""
    return partial(Pipeline, request.param)


def test_results_come_in_the_order_of_the_inputs(make: Make) -> None:
    transport = StandIn(lambda number: time.sleep(0.002 * (7 - number % 8)))
    with make(transport) as pipeline:
        assert numbers(pipeline.predict(frames(40))) == list(range(40))
        assert numbers(pipeline.predict(list(frames(3)))) == [0, 1, 2]
        assert type(pipeline.wrapped).__call__ is type(pipeline.wrapped).predict
    assert transport.closed


@pytest.mark.parametrize("limit", [1, 4])
def test_as_many_requests_in_flight_as_allowed(make: Make, limit: int) -> None:
    # Each waits for as many as may run together; too few, and the barrier breaks.
    barrier = threading.Barrier(limit, timeout=10)
    transport = StandIn(lambda _: barrier.wait())
    with make(transport, max_in_flight=limit) as pipeline:
        assert len(numbers(pipeline.predict(frames(limit * 3)))) == limit * 3
    assert transport.most_running == limit


@pytest.mark.parametrize(("side", "most"), [(3000, 1), (2000, 4)])
def test_large_pages_are_decoded_and_sent_one_at_a_time(
    make: Make, tmp_path: Path, side: int, most: int
) -> None:
    page = Image.new("1", (side, side))
    path = tmp_path / "pages.tif"
    page.save(path, save_all=True, append_images=[page], compression="group4")
    assert path.stat().st_size < 10_000
    transport = StandIn(lambda _: time.sleep(0.2))
    with make(transport, max_in_flight=4) as pipeline:
        results = list(pipeline.predict([str(path)] * 4))
    assert [res["page_index"] for res in results] == [0, 1] * 4
    assert transport.most_running <= most
    assert (transport.most_running > 1) == (most > 1)


def test_endless_inputs_are_read_only_as_results_are_taken(make: Make) -> None:
    taken = []

    def endless() -> Iterator[np.ndarray]:
        while True:
            taken.append(len(taken))
            yield frame(taken[-1] % 256)

    with make(StandIn(), max_in_flight=4) as pipeline:
        results = pipeline.predict(endless())
        for count in range(1, 30):
            next(results)
            assert len(taken) <= count + 2 * 4
        results.close()


def test_a_finished_result_does_not_wait_for_a_full_window(make: Make) -> None:
    finished = threading.Semaphore(0)
    read = []

    def slow_camera() -> Iterator[np.ndarray]:
        for number in range(100):
            if number:
                assert finished.acquire(timeout=10)
                time.sleep(0.02)  # for the result to reach its future
            read.append(number)
            yield frame(number)

    transport = StandIn(lambda _: finished.release())
    with make(transport, max_in_flight=8) as pipeline:
        results = pipeline.predict(slow_camera())
        next(results)
        assert len(read) <= 2
        results.close()


def test_closing_early_leaves_nothing_running(make: Make) -> None:
    transport = StandIn(lambda _: time.sleep(0.05))
    with make(transport, max_in_flight=3) as pipeline:
        results = pipeline.predict(frames(100))
        next(results)
        results.close()
        sent = len(transport.requests)
        assert transport.running == 0
        assert sent <= 1 + 2 * 3
        time.sleep(0.1)
        assert len(transport.requests) == sent


def test_errors_are_raised_at_their_turn(make: Make) -> None:
    def fail_third(number: int) -> None:
        if number == 3:
            raise ServerUnavailableError("gone")
        time.sleep(0.02)  # the error is there before the results that precede it

    with make(StandIn(fail_third)) as pipeline:
        results = pipeline.predict(frames(6))
        assert numbers(islice(results, 3)) == [0, 1, 2]
        with pytest.raises(ServerUnavailableError, match="gone"):
            next(results)
        assert next(results, None) is None


def test_collected_errors_keep_their_place(make: Make, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.jpg")
    with make(StandIn()) as pipeline:
        results = list(pipeline.predict([frame(1), missing, frame(2)], on_error="collect"))
    assert [type(res.error) for res in results] == [type(None), InputError, type(None)]
    assert (results[1]["input_path"], results[1]["boxes"]) == (missing, [])
    assert numbers([results[0], results[2]]) == [1, 2]


@pytest.mark.parametrize("on_error", ["raise", "collect"])
def test_an_error_of_the_callers_iterator_comes_after_earlier_results(
    make: Make, on_error: OnError
) -> None:
    def broken_camera() -> Iterator[np.ndarray]:
        yield from frames(3)
        raise KeyError("camera")

    with make(StandIn()) as pipeline:
        results = pipeline.predict(broken_camera(), on_error=on_error)
        assert numbers(next(results) for _ in range(3)) == [0, 1, 2]
        with pytest.raises(KeyError, match="camera"):
            next(results)


PNG = cv2.imencode(".png", frame(1))[1].tobytes()


@pytest.mark.parametrize(
    ("content", "code", "kind", "word"),
    [
        (PNG[:40], None, InputError, "truncated or corrupt"),
        (PNG[:40], "damaged_image", InputError, "truncated or corrupt"),
        (PNG[:40], "invalid_request", InvalidRequestError, "the server's reason"),
        (b"BMs are cars", None, InputError, "is text"),
        (PNG, None, InvalidRequestError, "the server's reason"),
    ],
)
def test_a_refused_image_is_looked_at(
    make: Make, tmp_path: Path, content: bytes, code: str | None, kind: type[Exception], word: str
) -> None:
    def refuse(_: int) -> None:
        error = InvalidRequestError("the server's reason")
        error.code = code
        raise error

    path = tmp_path / "photo.png"
    with make(StandIn(refuse)) as pipeline:
        path.write_bytes(content)
        (res,) = pipeline.predict(path, on_error="collect")
    assert type(res.error) is kind
    assert word in str(res.error)


@pytest.mark.parametrize(
    ("configured", "arguments", "sent"),
    [
        (None, {}, None),
        (0.3, {}, 0.3),
        (0.3, {"det_threshold": 0.6}, 0.6),
        (0.3, {"det_threshold": 0, "threshold": None}, 0.0),
        (0.3, {"threshold": 0}, 0.0),
        (None, {"det_threshold": 0.4, "threshold": 0.4}, 0.4),
    ],
)
def test_threshold_of_the_call_wins_and_has_two_names(
    make: Make, configured: float | None, arguments: dict, sent: float | None
) -> None:
    transport = StandIn()
    with make(transport, PipelineConfig(DetectorConfig(threshold=configured))) as pipeline:
        list(pipeline.predict(frame(1), **arguments))
    assert transport.requests[0].det_threshold == sent
    names = [name for name, _, _ in transport.requests[0].tensors()]
    assert names == (["frame"] if sent is None else ["frame", "det_threshold"])


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (PipelineConfig(), {}),
        (
            PipelineConfig(
                DetectorConfig(model_name="D"), KeypointConfig(model_name="K", flip=False)
            ),
            {"detector": "D", "keypoint_model": "K", "flip": False},
        ),
        (
            PipelineConfig(
                DetectorConfig(model_name="D", model_dir=Path("/mine")),
                KeypointConfig(model_name="K", use_udp=True),
            ),
            {"keypoint_model": "K", "use_udp": True},
        ),
        (PipelineConfig(fast_decode=True), {"fast_decode": True}),
    ],
)
def test_what_is_asked_of_the_server(make: Make, config: PipelineConfig, parameters: dict) -> None:
    transport = StandIn()
    with make(transport, config) as pipeline:
        list(pipeline.predict(frame(1)))
    assert transport.requests[0].parameters() == parameters


@pytest.mark.parametrize(
    "arguments",
    [
        {"det_threshold": 1.1},
        {"det_threshold": "0.5"},
        {"threshold": -0.1},
        {"det_threshold": 0, "threshold": 0.5},
        {"on_error": "ignore"},
    ],
)
def test_wrong_arguments_fail_at_the_call(make: Make, arguments: dict) -> None:
    with make(StandIn()) as pipeline, pytest.raises(ConfigError):
        pipeline.predict(frame(1), **arguments)
    with pytest.raises(ConfigError, match="max_in_flight"):
        make(StandIn(), max_in_flight=0)


def test_a_closed_pipeline_says_so(make: Make) -> None:
    transport = StandIn()
    with make(transport) as pipeline:
        results = pipeline.predict(frames(20))
        assert numbers([next(results)]) == [0]
        pipeline.close()
        pipeline.close()
        with pytest.raises(RuntimeError, match="this pipeline is closed"):
            list(results)
        with pytest.raises(RuntimeError, match="this pipeline is closed"):
            pipeline.predict(frame(1))
    assert transport.running == 0
