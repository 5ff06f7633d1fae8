"""The local engine: loads once, fails clearly, frees its models, knows that it was forked."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import shutil
import subprocess
import sys
import weakref
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from toy_models import BOX, count_boxes, install_toys
from tritonpose.config import PipelineConfig
from tritonpose.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    ServerError,
    ServerUnavailableError,
)
from tritonpose.transport.messages import InferRequest
from tritonpose_server.local.engine import AsyncLocalEngine, LocalEngine
from tritonpose_server.local.options import EngineName, LocalOptions
from tritonpose_server.models.choice import ModelChoice

FRAME = np.zeros((64, 96, 3), np.uint8)

Make = Callable[..., LocalEngine]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is compiled out of the user's own place."""
    monkeypatch.setenv("TRITONPOSE_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> ModelChoice:
    return install_toys(tmp_path_factory.mktemp("store"))


@pytest.fixture
def make(toys: ModelChoice) -> Make:
    def make_engine(
        engine: EngineName = "openvino",
        timeout: float = 60.0,
        choice: ModelChoice = toys,
        chosen: Callable[[], object] = lambda: None,
    ) -> LocalEngine:
        def choose(*_: object, **__: object) -> ModelChoice:
            chosen()
            return choice

        return LocalEngine(PipelineConfig(), LocalOptions(engine), timeout, choose)

    return make_engine


def ask(engine: LocalEngine, **fields: object) -> np.ndarray:
    return engine.infer(InferRequest(**{"frame": FRAME, **fields}), 1.0).boxes


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_every_engine_finds_the_box_in_pixels_of_the_image(make: Make, name: EngineName) -> None:
    np.testing.assert_array_equal(ask(make(name)), [[2 * value for value in BOX]])


def test_models_are_chosen_once_at_the_first_request_by_however_many_threads(make: Make) -> None:
    calls: list[int] = []
    engine = make(chosen=lambda: calls.append(os.getpid()))
    assert not calls
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: len(ask(engine)), range(16)))
    assert (found, len(calls)) == ([1] * 16, 1)


def test_what_only_conversion_needs_is_not_imported() -> None:
    """It would make the first result of models that are installed come late."""
    program = (
        "import sys, tritonpose_server.models.choice, tritonpose_server.local.engine; "
        "print(*{'onnx', 'onnxruntime', 'openvino', 'httpx', 'tqdm', 'aiohttp'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_a_failed_choice_is_tried_again(make: Make) -> None:
    failures = [ServerUnavailableError("no network")]

    def fail_once() -> None:
        if failures:
            raise failures.pop()

    engine = make(chosen=fail_once)
    with pytest.raises(ServerUnavailableError, match="no network"):
        ask(engine)
    assert len(ask(engine)) == 1


@pytest.mark.parametrize(
    ("fields", "code", "says"),
    [
        ({"frame": None, "image": b"GIF89a"}, "invalid_image", "GIF"),
        ({"det_threshold": 2.0}, "invalid_request", "0 to 1"),
        ({"detector": "nobody"}, "invalid_request", "'nobody' is installed"),
    ],
)
def test_wrong_requests(make: Make, fields: dict, code: str, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says) as caught:
        ask(make(), **fields)
    assert caught.value.code == code


def test_a_request_that_takes_too_long(make: Make) -> None:
    with pytest.raises(DeadlineExceededError, match="timeout=") as caught:
        ask(make(timeout=1e-9))
    assert caught.value.code == "deadline"


def test_a_model_that_cannot_be_loaded_is_named(
    make: Make, toys: ModelChoice, tmp_path: Path
) -> None:
    copies = [Path(shutil.copytree(model, tmp_path / model.name)) for model in toys.models]
    (copies[0] / "1" / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ServerUnavailableError, match="toy-detector"):
        ask(make(choice=ModelChoice(tuple(copies), toys.settings)))


def test_a_model_that_fails_is_named(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr("tritonpose_server.engines.openvino.OpenVinoModel.run", fail)
    with pytest.raises(ServerError, match=r"'toy-detector': out of luck") as caught:
        ask(make())
    assert caught.value.code == "model_failed"


def test_closing_frees_the_models(make: Make) -> None:
    engine = make()
    ask(engine)
    models = weakref.ref(engine._pipeline)
    engine.close()
    gc.collect()
    assert models() is None


def test_asyncio(make: Make) -> None:
    engine = AsyncLocalEngine(make())

    async def run() -> list[int]:
        request = InferRequest(frame=FRAME)
        answers = await asyncio.gather(*(engine.infer(request, 1.0) for _ in range(8)))
        assert await engine.is_ready(1.0)
        await engine.close()
        return [len(answer.boxes) for answer in answers]

    assert asyncio.run(run()) == [1] * 8


FORK = """
import os, sys
from pathlib import Path
import numpy as np
from toy_models import install_toys
from tritonpose.config import PipelineConfig
from tritonpose.transport.messages import InferRequest
from tritonpose_server.local.engine import LocalEngine
from tritonpose_server.local.options import LocalOptions

choice = install_toys(Path(sys.argv[1]))
used, unused = (
    LocalEngine(PipelineConfig(), LocalOptions(sys.argv[2]), 60, lambda *_, **__: choice)
    for _ in range(2)
)
request = InferRequest(frame=np.zeros((64, 96, 3), np.uint8))
if sys.argv[3] == "used":
    used.infer(request, 1)
if os.fork() == 0:
    for engine in (used, unused):
        try:
            print(len(engine.infer(request, 1).boxes), flush=True)
        except Exception as error:
            print(type(error).__name__, error, flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("state", ["used", "unused"])
def test_forked_children_get_an_answer_or_an_error(engine: str, state: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORK, str(tmp_path), engine, state]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    if state == "unused":
        assert lines == ["1", "1"]
    else:
        assert all(line.startswith("ConfigError") and "spawn" in line for line in lines)


def test_spawned_children_have_engines_of_their_own(toys: ModelChoice) -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        assert pool.submit(count_boxes, toys).result(60) == 1
