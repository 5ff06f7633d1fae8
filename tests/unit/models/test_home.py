"""The directory of everything fetched or built for a user."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tritonpose_server.models import home
from tritonpose_server.models.directories import locked_directory
from tritonpose_server.models.errors import HomeError
from tritonpose_server.models.home import cache_home, require_trusted, writable_directory

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can make files of other users")


@pytest.fixture(autouse=True)
def no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("TRITONPOSE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "~/.cache/tritonpose"),
        ({"TRITONPOSE_HOME": "/t"}, "/t"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/tritonpose"),
        ({"TRITONPOSE_HOME": "/t", "XDG_CACHE_HOME": "/x"}, "/t"),
        ({"TRITONPOSE_HOME": "", "XDG_CACHE_HOME": "/x"}, "/x/tritonpose"),
        ({"TRITONPOSE_HOME": "", "XDG_CACHE_HOME": ""}, "~/.cache/tritonpose"),
        ({"TRITONPOSE_HOME": "~/t"}, "~/t"),
        ({"XDG_CACHE_HOME": "~/x"}, "~/x/tritonpose"),
        ({"TRITONPOSE_HOME": "relative"}, "~/relative"),
    ],
)
def test_cache_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(cache_home()) == expected.replace("~", str(tmp_path))


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(home.os.path, "expanduser", lambda path: path)
    with pytest.raises(HomeError, match=r"Name a directory in \$TRITONPOSE_HOME"):
        cache_home()


def test_directories_are_private(tmp_path: Path) -> None:
    made = writable_directory(tmp_path / "a" / "b")
    assert {stat.S_IMODE(path.stat().st_mode) for path in (made, made.parent)} == {0o700}
    assert list(made.iterdir()) == []
    made.chmod(0o755)
    assert writable_directory(made) == made
    # Its owner opened it to others on purpose.
    assert stat.S_IMODE(made.stat().st_mode) == 0o755


@pytest.mark.parametrize("is_home", [True, False])
def test_directories_that_can_not_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_home: bool
) -> None:
    """A file in the place of a directory, a name that is too long, and no room."""
    if is_home:
        monkeypatch.setenv("TRITONPOSE_HOME", str(tmp_path))
    (tmp_path / "file").touch()
    for directory in (tmp_path / "file", tmp_path / "file" / "models", tmp_path / ("x" * 300)):
        with pytest.raises(HomeError, match="can't be used") as caught:
            writable_directory(directory)
        assert ("$TRITONPOSE_HOME" in str(caught.value)) is is_home
        assert str(directory) in str(caught.value)
    with pytest.raises(HomeError, match=r"MB free, \d+ MB are needed: make room"):
        writable_directory(tmp_path / "models", needed_bytes=1 << 60)


HOLDS_A_LOCK = """
import sys
from pathlib import Path
from tritonpose_server.models.directories import locked_directory
with locked_directory(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="Linux tells who holds a lock")
def test_a_lock_says_what_it_waits_for(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS_A_LOCK, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    with holder:
        holder.stdout.readline()
        lines: list[str] = []

        def release(line: str) -> None:
            lines.append(line)
            assert holder.stdin is not None
            holder.stdin.close()

        with locked_directory(tmp_path, release):
            pass
        holder.wait()
    assert lines == [f"waiting for process {holder.pid}, which is writing in {tmp_path}"]
    with locked_directory(tmp_path, lines.append):
        pass
    assert len(lines) == 1


# Other users


@as_root
def test_what_another_user_put_where_all_can_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    planted = shared / "cache"
    (planted / "models").mkdir(parents=True)
    os.chown(planted, 12345, 12345)
    for directory in (planted, planted / "models", planted / "new"):
        with pytest.raises(HomeError, match=r"belongs to another user \(uid 12345\)"):
            writable_directory(directory)
    (shared / "link").symlink_to(planted)
    os.lchown(shared / "link", 12345, 12345)
    with pytest.raises(HomeError, match="belongs to another user"):
        require_trusted(shared / "link")
    # Where only its owner could put it, it is there on purpose.
    shared.chmod(0o755)
    assert writable_directory(planted / "models")
