"""Subprocesses of contestants: workers, services, the use of the CPU and memory."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from contestants import GivenContestant
from tools.benchmark.contestants import Contestant, InProcessContestant, RestContestant
from tools.benchmark.machine import Watch, process_tree, resident_bytes
from tools.benchmark.worker import Worker
from tools.benchmark.workload import Sample
from tools.errors import ToolError
from tools.programs import Program

WORKER = """
import os, sys

class Worker:
    def __init__(self, word):
        self.word = word
        print("a library prints something")
    def say(self, times):
        print("another line")
        return [self.word] * times
    def fail(self):
        raise ValueError("it is wrong")
    def die(self):
        print("last words", file=sys.stderr, flush=True)
        os._exit(3)
    def estimate(self, sample):
        assert sample == {"path": "a.jpg", "det_threshold": 0.5}
        return "nobody"
    def people(self, estimated):
        assert estimated == "nobody"
        return []
    def rate(self, samples, concurrency, skip, count):
        return [float(concurrency), skip + count]

def open_worker(word):
    if word == "bad":
        raise RuntimeError("no such word")
    return Worker(word)
"""

SERVICE = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send({"path": self.path})
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        person = {"bbox": [1, 2, 3, 4], "kpts": [[5, 6, 0.5]] * 17, "detScore": 0.9,
                  "kptScore": 0.5}
        found = [person] * round(10 * body.get("detThreshold", 0.1))
        assert body["visualize"] is False
        status = 500 if body["image"] == "" else 200
        self.send({"result": {"persons": found}}, status)
    def send(self, content, status=200):
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
"""


@pytest.fixture
def worker_file(tmp_path: Path) -> Path:
    path = tmp_path / "worker.py"
    path.write_text(WORKER)
    return path


def start(file: Path, word: str = "word") -> Worker:
    return Worker("the worker", [sys.executable, "-I"], file, [word])


def test_calls(worker_file: Path) -> None:
    worker = start(worker_file)
    assert worker.call("say", times=2) == ["word", "word"]
    with pytest.raises(ToolError, match="the worker failed: ValueError: it is wrong"):
        worker.call("fail")
    # It goes on after an error.
    assert worker.call("say", times=0) == []
    assert psutil.pid_exists(worker.process.pid)
    worker.close()
    assert not psutil.pid_exists(worker.process.pid)


def test_worker_that_dies(worker_file: Path) -> None:
    worker = start(worker_file)
    with pytest.raises(ToolError, match=r"ended with status 3:\n[\s\S]*last words"):
        worker.call("die")
    with pytest.raises(ToolError, match="ended with status 3"):
        worker.call("say", times=1)
    worker.close()


def test_workers_that_do_not_start(tmp_path: Path, worker_file: Path) -> None:
    with pytest.raises(ToolError, match="failed: RuntimeError: no such word"):
        start(worker_file, "bad")
    (tmp_path / "broken.py").write_text("import no_such_module")
    with pytest.raises(ToolError, match="failed: ModuleNotFoundError"):
        start(tmp_path / "broken.py")
    with pytest.raises(ToolError, match="can't be started"):
        Worker("the worker", ["/no/such/python"], worker_file, [])


@pytest.mark.parametrize("parallel", [False, True])
def test_in_process_contestant(worker_file: Path, parallel: bool) -> None:
    contestant = InProcessContestant(
        "key", "label", "rival", parallel=parallel, worker=start(worker_file)
    )
    sample = Sample(Path("a.jpg"), 0.5)
    assert contestant.answer(sample).keypoints.shape == (0, 17, 3)
    assert min(contestant.time_each([sample, sample])) > 0
    rate = contestant.rate([sample], 4, 2, 10)
    assert rate.images == 12
    assert rate.per_second == 4 if parallel else rate.per_second > 4
    (pid,) = contestant.processes()
    contestant.close()
    assert not psutil.pid_exists(pid)


def test_rest_contestant(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-c", SERVICE]
    contestant = RestContestant("rest", "label", "ours", command, behind=[1])
    (tmp_path / "image.jpg").write_bytes(b"image")
    (tmp_path / "empty.jpg").touch()
    sample = Sample(tmp_path / "image.jpg", 0.2)
    people = contestant.answer(sample)
    assert people.boxes.tolist() == [[1, 2, 3, 4]] * 2
    assert people.keypoints.shape == (2, 17, 3)
    assert contestant.rate([sample], 4, 4, 8).images >= 12
    assert len(contestant.time_each([Sample(tmp_path / "image.jpg")])) == 1
    with pytest.raises(ToolError, match=r"label refused empty\.jpg"):
        contestant.answer(Sample(tmp_path / "empty.jpg"))
    pid, behind = contestant.processes()
    assert behind == 1
    psutil.Process(pid).kill()
    with pytest.raises(ToolError, match="label does not answer"):
        contestant.answer(sample)
    contestant.close()
    assert not psutil.pid_exists(pid)


def test_service_that_ends() -> None:
    service = Program("it", [sys.executable, "-c", "import sys; sys.exit('no way')"])
    with pytest.raises(ToolError, match=r"it ended while starting:\n[\s\S]*no way"):
        service.wait_until_ready("http://127.0.0.1:9/", 60)


def test_service_that_never_answers() -> None:
    service = Program("it", [sys.executable, "-c", "import time; time.sleep(60)"])
    with pytest.raises(ToolError, match="it was not ready after"):
        service.wait_until_ready("http://127.0.0.1:9/", 0.2)
    assert service.ended()


# A parent that only waits, and its child that works until its input ends.
PARENT = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=sys.stdin).wait()
"""
BUSY = """
import select, sys
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]: pass
"""
IDLE = """
import sys
block = bytearray(b"x") * 50_000_000
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def running(child: str) -> Iterator[GivenContestant]:
    """Run a contestant of two processes."""
    command = [sys.executable, "-c", PARENT, child]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield GivenContestant("it", pids=[process.pid])
        process.communicate()


def let_work(contestant: Contestant) -> None:
    """Wait until the child has used the CPU for 0.2 s, however busy the machine is."""
    (child,) = psutil.Process(contestant.processes()[0]).children()
    begin = child.cpu_times().user
    while child.cpu_times().user < begin + 0.2:
        time.sleep(0.02)


def test_cpu_time_is_measured_in_whole_trees() -> None:
    with running(BUSY) as busy, running(IDLE) as idle:
        twin = GivenContestant("twin", pids=busy.processes())
        watch = Watch([busy, idle, twin])
        # The twin shares the busy one's processes, which so are not idle.
        _, seconds = watch.measured(twin, let_work)
        assert seconds >= 0.2
        before = watch.disturbance()["idle_contestants"]
        # Now the busy one should be idle, and is not.
        watch.measured(idle, lambda _: let_work(busy))
        assert watch.disturbance()["idle_contestants"] > before
    assert 0 <= watch.disturbance()["foreign"] <= 1
    assert Watch([]).disturbance()["foreign"] == 0


def test_memory_of_a_tree() -> None:
    with running(IDLE) as idle:
        (root,) = idle.processes()
        assert process_tree([root])[0] == root
        assert len(process_tree([root])) == 2
        assert resident_bytes([root]) > 50_000_000
    assert process_tree([root]) == []
    assert resident_bytes([root]) == 0
