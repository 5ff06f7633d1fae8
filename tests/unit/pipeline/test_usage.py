"""What instances use of their common limits, each a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tritonpose_pipeline import usage
from tritonpose_pipeline.errors import ModelError
from tritonpose_pipeline.usage import PIXELS, REQUESTS, Usage, common_file

ANOTHER = """
import sys
from pathlib import Path
from tritonpose_pipeline.usage import REQUESTS, Usage

usage = Usage(Path(sys.argv[1]))
print(sum(usage.take(REQUESTS, 1, 5) for _ in range(5)), flush=True)
for _ in sys.stdin:
    pass
usage.close()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "usage"


def another(file: Path) -> subprocess.Popen[str]:
    """Start a process that takes as many of five requests as there are."""
    command = [sys.executable, "-c", ANOTHER, str(file)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)


def taken(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def test_processes_share_a_limit_and_the_dead_use_nothing(file: Path) -> None:
    own = Usage(file)
    assert own.take(REQUESTS, 2, 5)
    with another(file) as first:
        assert taken(first) == 3
        assert not own.take(REQUESTS, 1, 5)
        # What is counted is counted apart.
        assert own.take(PIXELS, 5, 5)
        os.kill(first.pid, signal.SIGKILL)
    with another(file) as second:
        # It takes the dead one's place, and what that one used.
        assert taken(second) == 3
        own.give_back(REQUESTS, 2)
        assert own.take(REQUESTS, 2, 5)
        assert not own.take(REQUESTS, 1, 5)
    assert own.take(REQUESTS, 3, 5)
    own.close()
    assert not file.exists()


def test_the_last_one_removes_the_file(file: Path) -> None:
    one, other = Usage(file), Usage(file)
    one.close()
    assert file.exists()
    assert other.take(REQUESTS, 1, 1)
    other.close()
    other.close()
    assert not file.exists()


def test_more_than_the_limit_is_taken_by_nobody_else(file: Path) -> None:
    one, other = Usage(file), Usage(file)
    assert not one.take(PIXELS, 9, 5)
    assert one.take(PIXELS, 9, 5, alone=True)
    assert not other.take(PIXELS, 9, 5, alone=True)
    assert not other.take(PIXELS, 1, 5, alone=True)
    one.give_back(PIXELS, 9)
    assert other.take(PIXELS, 9, 5, alone=True)
    for each in (one, other):
        each.close()


def test_nobody_shares_without_a_file() -> None:
    one, other = Usage(), Usage()
    assert one.take(REQUESTS, 1, 1)
    assert not one.take(REQUESTS, 1, 1)
    assert other.take(REQUESTS, 1, 1)
    assert not one.is_shared
    one.close()


def test_there_is_an_end_of_places(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "MOST_INSTANCES", 1)
    with_place = Usage(file)
    with pytest.raises(ModelError, match="1 instances of the pipeline use"):
        Usage(file)
    with_place.close()


def test_a_link_of_somebody_else_is_not_followed(file: Path, tmp_path: Path) -> None:
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        Usage(file)
    assert not (tmp_path / "elsewhere").exists()


def test_the_file_is_the_same_for_all_children_of_a_server(tmp_path: Path) -> None:
    code = "from tritonpose_pipeline.usage import common_file; print(common_file(None))"
    python = [sys.executable, "-c", code]
    named = {subprocess.check_output(python, text=True).strip() for _ in range(2)}
    assert len(named) == 1
    assert named.pop().endswith(f"tritonpose-limits-{os.getpid()}")
    assert common_file(str(tmp_path / "drain")).parent == tmp_path
