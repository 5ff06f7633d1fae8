"""Workers and services that contestants run in."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from tools.benchmark.contestants.in_process import InProcessContestant
from tools.benchmark.contestants.rest import RestContestant, response_of
from tools.benchmark.http_service import HttpService
from tools.benchmark.shots import Shot
from tools.benchmark.workers.process import WorkerProcess
from tools.errors import BenchmarkError

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
    def answer(self, shot):
        assert shot == {"path": "a.jpg", "det_threshold": 0.5}
        return {"boxes": [], "det_scores": [], "keypoints": [], "kpt_scores": []}
    def time_each(self, shots):
        return [0.5 for shot in shots]
    def rate(self, shots, concurrency, skip, count):
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

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def worker_file(tmp_path: Path) -> Path:
    path = tmp_path / "worker.py"
    path.write_text(WORKER)
    return path


def start(file: Path, word: str = "word") -> WorkerProcess:
    return WorkerProcess("the worker", [sys.executable, "-I"], file, [word])


def test_calls(worker_file: Path) -> None:
    with start(worker_file) as worker:
        assert worker.call("say", times=2) == ["word", "word"]
        with pytest.raises(BenchmarkError, match="the worker failed: ValueError: it is wrong"):
            worker.call("fail")
        # It goes on after an error.
        assert worker.call("say", times=0) == []
        pid = worker.pid
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)


def test_worker_that_dies(worker_file: Path) -> None:
    with start(worker_file) as worker:
        with pytest.raises(BenchmarkError, match=r"ended with status 3:\n[\s\S]*last words"):
            worker.call("die")
        with pytest.raises(BenchmarkError, match="ended with status 3"):
            worker.call("say", times=1)


def test_workers_that_do_not_start(tmp_path: Path, worker_file: Path) -> None:
    with pytest.raises(BenchmarkError, match="failed: RuntimeError: no such word"):
        start(worker_file, "bad")
    (tmp_path / "broken.py").write_text("import no_such_module")
    with pytest.raises(BenchmarkError, match="failed: ModuleNotFoundError"):
        start(tmp_path / "broken.py")
    with pytest.raises(BenchmarkError, match="can't be started"):
        WorkerProcess("the worker", ["/no/such/python"], worker_file, [])


def test_in_process_contestant(worker_file: Path) -> None:
    contestant = InProcessContestant(
        "key", "label", "rival", parallel=False, worker=start(worker_file)
    )
    shot = Shot(Path("a.jpg"), 0.5)
    assert contestant.answer(shot).keypoints.shape == (0, 17, 3)
    assert contestant.time_each([shot, shot]) == [0.5, 0.5]
    assert contestant.rate([shot], 4, 2, 10).images == 12
    (pid,) = contestant.processes()
    contestant.close()
    assert not psutil.pid_exists(pid)


def test_rest_contestant(tmp_path: Path) -> None:
    def command(directory: Path, port: int) -> Sequence[str]:
        assert directory.is_dir()
        return [sys.executable, "-I", "-c", SERVICE, str(port)]

    contestant = RestContestant("rest", "label", "ours", HttpService("it", command), [1])
    (tmp_path / "image.jpg").write_bytes(b"image")
    (tmp_path / "empty.jpg").touch()
    shot = Shot(tmp_path / "image.jpg", 0.2)
    people = contestant.answer(shot)
    assert people.boxes.tolist() == [[1, 2, 3, 4]] * 2
    assert people.keypoints.shape == (2, 17, 3)
    assert contestant.rate([shot], 4, 4, 8).images >= 12
    assert len(contestant.time_each([Shot(tmp_path / "image.jpg")])) == 1
    with pytest.raises(BenchmarkError, match=r"label refused empty\.jpg"):
        contestant.answer(Shot(tmp_path / "empty.jpg"))
    pid, behind = contestant.processes()
    assert behind == 1
    # Only what is measured, not what looks after it.
    assert psutil.Process(pid).cmdline()[2] == "-c"
    contestant.close()
    assert not psutil.pid_exists(pid)
    with pytest.raises(BenchmarkError, match="label does not answer"):
        contestant.answer(shot)


def test_service_that_ends() -> None:
    with pytest.raises(BenchmarkError, match=r"it ended while starting:\n[\s\S]*no way"):
        HttpService("it", lambda *_: [sys.executable, "-c", "import sys; sys.exit('no way')"])


def test_nobody_in_an_answer() -> None:
    assert response_of([]).boxes.shape == (0, 4)
