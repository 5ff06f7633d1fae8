"""``tritonpose batch``: a job that is killed and continued, with all kinds of inputs.

TRITONPOSE_TEST_BATCH_FILES=2000 sets the number of files.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from pyarrow import parquet
from pycocotools.coco import COCO

from command_line import COMMAND, environment, run
from leftovers import alive, descendants, wait_until
from tritonpose import create_pipeline
from tritonpose_server.embedded.server import EmbeddedServer
from videos import write_video

FILES = int(os.environ.get("TRITONPOSE_TEST_BATCH_FILES", "100"))
SHARD_SIZE = FILES // 10
FRAMES = 4


DAMAGED = 10
"""Of this many files, three are damaged: one is text, one cut short, one missing."""


def fill(folder: Path, image: Path) -> list[str | None]:
    """Fill a folder with links to an image and damaged files.

    Returns:
        Of each file, in the order of the names, the beginning of its error's message; None for
        the good ones.
    """
    folder.mkdir()
    problems: list[str | None] = []
    for number in range(FILES):
        path = folder / f"{number:06d}{image.suffix}"
        problem = None
        match number % DAMAGED:
            case 3:
                path.write_text("no image")
                problem = f"{str(path)!r} looks like text"
            case 5:
                path.write_bytes(image.read_bytes()[:1000])
                problem = f"{str(path)!r} begins like a"
            case 7:
                path.symlink_to("missing")
                problem = f"no such file or directory: {str(path)!r}"
            case _:
                path.symlink_to(image)
        problems.append(problem)
    return problems


def kill_all(process: subprocess.Popen[str]) -> list[int]:
    """Kill a program and everything that it started, at once; return what that was."""
    everything = [process.pid, *descendants(process.pid)]
    for pid in everything:
        os.kill(pid, signal.SIGSTOP)
    everything += [pid for pid in descendants(process.pid) if pid not in everything]
    for pid in everything:
        os.kill(pid, signal.SIGKILL)
    process.wait()
    return everything


def test_a_killed_job_is_continued(tmp_path: Path, photo: Path, server: EmbeddedServer) -> None:
    frame = cv2.resize(cv2.imread(str(photo)), (480, 360))
    cv2.imwrite(str(tmp_path / "small.jpg"), frame)
    problems = fill(tmp_path / "photos", tmp_path / "small.jpg")
    files = sorted((tmp_path / "photos").iterdir())
    write_video(tmp_path / "clip.avi", [frame] * FRAMES)
    job = ["batch", "photos", "clip.avi", "--output", "out", "--shard_size", str(SHARD_SIZE)]
    poses = tmp_path / "out" / "poses"

    with subprocess.Popen(
        [COMMAND, *job, "--url", server.grpc_url],
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        begun = wait_until(lambda: len(list(poses.glob("part-*"))) >= 2, seconds=120)
        killed = kill_all(process)
        assert begun, process.stderr.read() if process.stderr else ""
    finished = {path: path.stat().st_mtime_ns for path in poses.glob("part-*")}
    assert 2 <= len(finished) < 11
    scratch = Path(json.loads((tmp_path / "out/job/run.json").read_text())["scratch"])
    assert scratch.is_dir()

    # Other settings are refused, and leave it as it is.
    refused = run(tmp_path, *job, "--det_threshold", "0.3")
    assert refused.returncode == 2
    assert "begun with det_threshold=None, now it is 0.3" in refused.stderr

    # With a server of its own, this time.
    done = run(tmp_path, *job)
    assert done.returncode == 1, done.stderr
    assert f"{FILES - sum(map(bool, problems)) + FRAMES} images" in done.stderr.splitlines()[-1]
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in finished.items())
    assert wait_until(lambda: not any(map(alive, killed)))
    assert not scratch.exists()
    assert not (tmp_path / "out/job/run.json").exists()
    assert not list(poses.glob(".*"))

    rows = parquet.read_table(poses).sort_by([("item", "ascending"), ("frame_index", "ascending")])
    numbers = rows.column("item").to_pylist()
    assert numbers == [*range(FILES), *[FILES] * FRAMES]
    assert rows.column("path").to_pylist() == [
        *(f"photos/{path.name}" for path in files),
        *["clip.avi"] * FRAMES,
    ]
    assert rows.column("frame_index").to_pylist() == [*[None] * FILES, *range(FRAMES)]
    for problem, error, message in zip(
        problems,
        rows.column("error_class").to_pylist()[:FILES],
        rows.column("error_message").to_pylist()[:FILES],
        strict=True,
    ):
        assert error == (None if problem is None else "InputError")
        assert problem is None or message.startswith(problem.replace(f"{tmp_path}/", ""))

    good = [row for row in rows.to_pylist() if row["error_class"] is None]
    sizes = {(row["width"], row["height"]) for row in good[-FRAMES:]}
    assert sizes == {(frame.shape[1], frame.shape[0])}
    persons = sum(len(row["boxes"]) for row in good)
    coco = COCO(tmp_path / "out" / "coco.json")
    assert (len(coco.imgs), len(coco.anns)) == (len(good), persons)
    assert coco.loadCats([1])[0]["keypoints"][0] == "nose"

    # What a shard of the first run holds is what the client gets.
    first = parquet.read_table(sorted(finished)[0]).to_pylist()[0]
    with create_pipeline("human_keypoint_detection", url=server.grpc_url) as pipeline:
        (expected,) = pipeline.predict(str(tmp_path / first["path"]))
    assert len(first["boxes"]) == len(expected["boxes"]) > 0
    for index, person in enumerate(expected["boxes"]):
        np.testing.assert_array_equal(first["boxes"][index], person["coordinate"])
        np.testing.assert_array_equal(first["keypoints"][index], person["keypoints"])
        assert first["det_scores"][index] == np.float32(person["det_score"])

    # Nothing is left to do.
    again = run(tmp_path, *job)
    assert again.returncode == 1
    assert "starting Ray" not in again.stderr


RAY = """
import os, subprocess, sys
from pathlib import Path
from tritonpose_batch.cluster import ray_cluster

with ray_cluster(None, 1, Path(sys.argv[1]), print):
    import ray

    assert ray.get(ray.remote(os.path.expanduser).remote("~")) == os.environ["HOME"]
    address = ray.get_runtime_context().gcs_address
    stranger = {k: v for k, v in os.environ.items() if not k.startswith("RAY_AUTH")}
    attack = [sys.executable, "-c", sys.argv[2], address]
    assert subprocess.run(attack, check=True).returncode == 0
    done = subprocess.run(attack, env=stranger, capture_output=True, text=True)
    assert done.returncode != 0 and "AuthenticationError" in done.stderr, done
"""
ATTACK = """
import sys
from ray._raylet import GcsClient
GcsClient(address=sys.argv[1]).internal_kv_keys(b"", b"session", timeout=10)
"""


def test_ray_answers_nobody_else_and_asks_nobody(tmp_path: Path) -> None:
    """It runs code for all who reach it; and asks clouds where it is, if it is let."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        variables = {"http_proxy": address, "https_proxy": address, "no_proxy": "127.0.0.1"}
        # Ray's sockets have long names.
        with tempfile.TemporaryDirectory(dir="/tmp") as scratch:
            done = subprocess.run(
                [sys.executable, "-c", RAY, scratch, ATTACK],
                env={**environment(), **variables, "HOME": str(tmp_path)},
                capture_output=True,
                text=True,
            )
        assert done.returncode == 0, done.stderr
        with pytest.raises(BlockingIOError):
            proxy.accept()
    assert not (tmp_path / ".ray").exists()
