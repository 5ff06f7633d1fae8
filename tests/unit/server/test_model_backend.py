"""The Triton model class of the Python-based backends, around an engine of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import triton_stand_in
from leftovers import wait_until
from triton_stand_in import Request, TritonModelException
from tritonpose_server.backends.backend import BackendModel
from tritonpose_server.engines.engine import EngineConfig, EngineConfigError

Array = np.ndarray


class Sums:
    """A loaded model that gives ``sum = a + b`` and ``twice = 2 a``."""

    def __init__(self, streams: int = 1, before_run: Callable[[], None] = lambda: None) -> None:
        self.streams = streams
        self._before_run = before_run

    def run(self, inputs: Mapping[str, Array]) -> Sequence[Array]:
        self._before_run()
        return [inputs["a"] + inputs["b"], 2 * inputs["a"]]


def arguments(folder: Path, max_batch_size: int = 8) -> dict[str, str]:
    (folder / "1").mkdir()
    (folder / "1" / "model.onnx").write_bytes(b"")
    tensors = [{"name": name, "data_type": "TYPE_FP32", "dims": []} for name in ("a", "b")]
    outputs = [{"name": name, "data_type": "TYPE_FP32", "dims": []} for name in ("sum", "twice")]
    config = {
        "name": "model",
        "max_batch_size": max_batch_size,
        "input": tensors,
        "output": outputs,
    }
    return {
        "model_config": json.dumps(config),
        "model_repository": str(folder),
        "model_version": "1",
    }


def request(*a: float, **options: Any) -> Request:
    """A request whose ``b`` is 100 everywhere, unless the test gives another."""
    array = np.array(a, np.float32)
    return Request(a=array, **{"b": np.full_like(array, 100), **options})


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return triton_stand_in.install(monkeypatch)


@pytest.fixture
def start(log: list[str], tmp_path: Path) -> Iterator[Callable[..., BackendModel]]:
    """Make an initialized model with a number of streams."""
    assert log == []
    models = []

    def make(streams: int = 1, before_run: Callable[[], None] = lambda: None) -> BackendModel:
        class Model(BackendModel):
            engine = staticmethod(lambda _config: Sums(streams, before_run))

        model = Model()
        model.initialize(arguments(tmp_path))
        models.append(model)
        return model

    yield make
    for model in models:
        model.finalize()


def test_a_batch_is_split_among_its_requests(start: Callable[..., BackendModel]) -> None:
    model = start()
    requests = [request(1), request(2, 3, 4), request(5, 6)]
    model.execute(requests)
    model.finalize()
    sums = [each.sender.outputs()["sum"].tolist() for each in requests]
    assert sums == [[101], [102, 103, 104], [105, 106]]
    twice = [each.sender.outputs()["twice"].tolist() for each in requests]
    assert twice == [[2], [4, 6, 8], [10, 12]]


def test_batches_one_after_another(start: Callable[..., BackendModel]) -> None:
    """One stream for many batches: each gets its own results."""
    model = start()
    requests = [request(i) for i in range(20)]
    for each in requests:
        model.execute([each])
    model.finalize()
    sums = [each.sender.outputs()["sum"].tolist() for each in requests]
    assert sums == [[100 + i] for i in range(20)]


def test_streams_run_side_by_side(start: Callable[..., BackendModel]) -> None:
    together = threading.Barrier(3, timeout=10)
    model = start(3, before_run=lambda: together.wait() and None)
    requests = [request(i) for i in range(3)]
    for each in requests:
        model.execute([each])
    model.finalize()
    assert [each.sender.outputs()["twice"].tolist() for each in requests] == [[0], [2], [4]]


def test_execute_waits_for_an_idle_stream(start: Callable[..., BackendModel]) -> None:
    go = threading.Event()
    model = start(1, before_run=lambda: go.wait(10) and None)
    first, second = request(1), request(2)
    model.execute([first])
    waiting = threading.Thread(target=model.execute, args=[[second]])
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    assert first.sender.sent == second.sender.sent == []
    go.set()
    waiting.join(10)
    assert wait_until(lambda: bool(second.sender.sent), 10)
    assert first.sender.outputs()["twice"].tolist() == [2]
    assert second.sender.outputs()["twice"].tolist() == [4]


def test_a_batch_that_fails(start: Callable[..., BackendModel], log: list[str]) -> None:
    def fail() -> None:
        raise RuntimeError("out of luck")

    model = start(1, before_run=fail)
    requests = [request(1), request(2), request(3)]
    model.execute(requests[:2])
    model.execute(requests[2:])
    model.finalize()
    for each in requests:
        assert each.sender.error() == "model 'model' failed: out of luck"
    assert len(log) == 2
    assert log[0].startswith("error: model model: Traceback")
    assert "out of luck" in log[0]


def test_inputs_that_do_not_fit(start: Callable[..., BackendModel], log: list[str]) -> None:
    """They are answered, and the stream serves the next batch."""
    model = start()
    wrong = request(1, 2, b=np.zeros(3, np.float32))
    right = request(3)
    model.execute([wrong])
    assert wait_until(lambda: bool(wrong.sender.sent), 10)
    assert wrong.sender.error().startswith("model 'model' failed: operands could not be broadcast")
    model.execute([right])
    model.finalize()
    assert right.sender.outputs()["sum"].tolist() == [103]
    assert len(log) == 1


def test_a_response_that_can_not_be_sent(
    start: Callable[..., BackendModel], log: list[str]
) -> None:
    model = start()
    requests = [request(1), request(2, broken=True), request(3)]
    model.execute(requests)
    model.finalize()
    sums = [each.sender.outputs()["sum"].tolist() for each in (requests[0], requests[2])]
    assert sums == [[101], [103]]
    assert log == ["error: model model: response not sent: the client is gone"]


@pytest.mark.parametrize(
    ("max_batch_size", "words"),
    [(8, "model 'model' is broken"), (0, "'model': max_batch_size must be at least 1")],
)
@pytest.mark.usefixtures("log")
def test_model_that_is_not_served(tmp_path: Path, max_batch_size: int, words: str) -> None:
    """Its engine can't load it, or its configuration is wrong already."""

    def refuse(config: EngineConfig) -> Sums:
        raise EngineConfigError(f"model {config.name!r} is broken")

    class Model(BackendModel):
        engine = staticmethod(refuse)

    with pytest.raises(TritonModelException, match=words):
        Model().initialize(arguments(tmp_path, max_batch_size))
