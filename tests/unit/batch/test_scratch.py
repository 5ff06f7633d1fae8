"""One run at a time, and nothing left of a killed one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from leftovers import alive, wait_until
from tritonpose import ConfigError
from tritonpose_batch.job import Layout
from tritonpose_batch.scratch import lone_run


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "out")
    made.poses.mkdir(parents=True)
    return made


@pytest.mark.parametrize("long", [False, True])
def test_temporary_files_are_in_the_directory_while_it_is_there(
    layout: Layout, long: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if long:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = tempfile.gettempdir()
    with lone_run(layout) as directory:
        assert tempfile.gettempdir() == str(directory) == os.environ["TMPDIR"]
        # Ray's sockets must fit below it: session_2026-11-22_14-01-40_889917_1234567/...
        sockets = "ray/session_2026-11-22_14-01-40_889917_1234567/sockets/plasma_store"
        assert len(str(directory / sockets)) <= 107
        (directory / "file").touch()
    assert not directory.exists()
    assert tempfile.gettempdir() == before
    assert not layout.run.exists()


def test_one_run_at_a_time(layout: Layout) -> None:
    with (
        lone_run(layout),
        pytest.raises(ConfigError, match="another run works on"),
        lone_run(layout),
    ):
        pass
    with lone_run(layout):
        pass


def test_what_a_killed_run_left_is_removed(layout: Layout) -> None:
    scratch = Path(tempfile.mkdtemp(prefix="tpb-"))
    (scratch / "tritonpose-0123456789ab-staging").mkdir()
    region = Path("/dev/shm/tritonpose-0123456789ab-region")
    region.touch()
    orphan = subprocess.Popen(
        [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"],
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
    )
    assert orphan.stdout is not None
    orphan.stdout.readline()
    layout.run.parent.mkdir()
    layout.run.write_text(json.dumps({"host": socket.gethostname(), "scratch": str(scratch)}))
    (layout.poses / ".tritonpose-abcd.tmp").touch()
    (layout.poses / "part-000001.parquet").touch()
    with lone_run(layout):
        assert wait_until(lambda: not alive(orphan.pid), seconds=5)
        assert not scratch.exists()
        assert not region.exists()
        assert [path.name for path in layout.poses.iterdir()] == ["part-000001.parquet"]
    orphan.wait()
    orphan.stdout.close()


def test_what_is_not_ours_is_left_alone(layout: Layout, tmp_path: Path) -> None:
    layout.run.parent.mkdir()
    layout.run.write_text(json.dumps({"host": socket.gethostname(), "scratch": str(tmp_path)}))
    with lone_run(layout):
        pass
    assert layout.poses.exists()
