"""Pipelines in forked and spawned processes, in copies, and in a second event loop."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from pretended_triton import PretendedTriton, answer, pretended_triton
from tritonpose import TritonPoseError, create_async_pipeline, create_pipeline

IMAGE = np.zeros((4, 6, 3), np.uint8)

# Prints a line for each trial. Children end as programs do, with all finalizers.
FORKS = """
import os, sys
import numpy as np
from tritonpose import TritonPoseError, create_pipeline

url = sys.argv[1]
image = np.zeros((4, 6, 3), np.uint8)
make = lambda: create_pipeline("human_keypoint_detection", url=url, timeout=10, retries=0)

def people(pipeline):
    return len(next(iter(pipeline.predict(image)))["boxes"])

def forked(work):
    child = os.fork()
    if child == 0:
        print(work(), flush=True)
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0

def use_and_close():
    found = people(pipeline)
    pipeline.close()
    return found

def go_on():
    try:
        return next(results)
    except RuntimeError as error:
        return error

pipeline = make()
forked(lambda: people(pipeline))
people(pipeline)
forked(lambda: people(pipeline))
forked(use_and_close)
results = pipeline.predict([image] * 3)
next(results)
forked(go_on)
print(len(list(results)), people(pipeline))
pipeline.close()
"""

# Forks come while threads are amid requests.
BUSY = """
import os, sys, threading
import numpy as np
from tritonpose import create_pipeline

image = np.zeros((4, 6, 3), np.uint8)
pipeline = create_pipeline("human_keypoint_detection", url=sys.argv[1], timeout=10, retries=0)
results = pipeline.predict(image for _ in iter(int, 1))
stopped = threading.Event()

def go_on():
    while not stopped.is_set():
        next(results)

thread = threading.Thread(target=go_on)
thread.start()
for _ in range(5):
    child = os.fork()
    if child == 0:
        print(len(next(iter(pipeline.predict(image)))["boxes"]), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stopped.set()
thread.join()
results.close()
pipeline.close()
"""

ASYNCHRONOUS = """
import asyncio, os, sys
import numpy as np
from tritonpose import TritonPoseError, create_async_pipeline, create_pipeline

image = np.zeros((4, 6, 3), np.uint8)

async def use():
    async with create_async_pipeline("human_keypoint_detection", url=sys.argv[1]) as pipeline:
        return [res async for res in pipeline.predict(image)]

asyncio.run(use())
child = os.fork()
if child == 0:
    try:
        print(next(create_pipeline("human_keypoint_detection", url=sys.argv[1]).predict(image)))
    except TritonPoseError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def triton() -> Iterator[PretendedTriton]:
    with pretended_triton(answer(2)) as running:
        yield running


def run(program: str, url: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program, url], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_forked_processes(scheme: str, triton: PretendedTriton) -> None:
    *worked, left, parent = run(FORKS, triton.urls[scheme])
    assert worked == ["2", "2", "2"]
    assert "began before the process was forked: call predict again" in left
    assert parent == "2 2"


def test_forks_amid_requests(triton: PretendedTriton) -> None:
    assert run(BUSY, triton.urls["grpc"]) == ["2"] * 5


def test_a_fork_after_asynchronous_grpc_is_told(triton: PretendedTriton) -> None:
    (line,) = run(ASYNCHRONOUS, triton.urls["grpc"])
    assert "gRPC can't be used in this process: it was forked" in line
    assert "http:// address" in line


@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, lambda item: pickle.loads(pickle.dumps(item))],
    ids=["copy", "deepcopy", "pickle"],
)
@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_copies_connect_anew(
    scheme: str, again: Callable[[Any], Any], triton: PretendedTriton
) -> None:
    url = triton.urls[scheme]
    options: dict[str, Any] = {"url": url, "headers": {"x-team": "pose"}, "max_in_flight": 3}
    with create_pipeline("human_keypoint_detection", **options) as pipeline:
        list(pipeline.predict(IMAGE))
        with again(pipeline) as copied:
            assert [len(found["boxes"]) for found in copied.predict(IMAGE)] == [2]
        assert [len(found["boxes"]) for found in pipeline.predict(IMAGE)] == [2]
    assert scheme == "grpc" or triton.http.requests[-1][1]["x-team"] == "pose"
    with pytest.raises(RuntimeError, match="this pipeline is closed"):
        again(pipeline)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_another_event_loop_is_told(scheme: str, triton: PretendedTriton) -> None:
    pipeline = create_async_pipeline("human_keypoint_detection", url=triton.urls[scheme])

    async def count() -> int:
        return sum([len(found["boxes"]) async for found in pipeline.predict([IMAGE] * 2)])

    # Python 3.10 has no asyncio.Runner.
    first = asyncio.new_event_loop()
    try:
        assert first.run_until_complete(count()) == 4
        for coroutine in (count(), pipeline.close()):
            with pytest.raises(TritonPoseError, match=r"each asyncio\.run\(\) makes one"):
                asyncio.run(coroutine)
        assert first.run_until_complete(count()) == 4
        first.run_until_complete(pipeline.close())
        first.run_until_complete(first.shutdown_default_executor())
    finally:
        first.close()


def test_an_unused_copy_belongs_to_no_event_loop(triton: PretendedTriton) -> None:
    async def use(pipeline: Any) -> int:
        async with pipeline:
            return len([found async for found in pipeline.predict(IMAGE)])

    pipeline = create_async_pipeline("human_keypoint_detection", url=triton.urls["http"])
    copied = copy.copy(pipeline)
    assert asyncio.run(use(pipeline)) == asyncio.run(use(copied)) == 1
