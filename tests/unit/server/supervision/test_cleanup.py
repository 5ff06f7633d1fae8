"""What a killed server leaves is removed, and nothing else."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from other_user import OTHER_USER, as_other_user, needs_other_user
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.supervision.cleanup import (
    make_directory,
    python_environments,
    record_python_environments,
    remove_abandoned,
    remove_python_environments,
    remove_shared_memory,
    temporary_directories,
)


@pytest.fixture
def identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    # Elsewhere are the servers of other tests.
    monkeypatch.setattr(
        "tritonpose_server.supervision.cleanup.temporary_directories", lambda: [tmp_path]
    )
    return f"tritonpose-{secrets.token_hex(6)}"


def test_a_server_is_abandoned_when_its_last_process_ends(identity: str) -> None:
    directory, lock = make_directory(identity)
    (directory / "models").mkdir()
    environment = Path(f"/tmp/python_env_{identity[-6:]}")
    environment.mkdir()
    os.utime(environment, (0, 0))
    record_python_environments(directory, {environment})
    region = Path(f"/dev/shm/{identity}abc")
    region.write_bytes(b"region")
    with subprocess.Popen(["sleep", "60"], pass_fds=[lock]) as last:
        try:
            os.close(lock)
            assert remove_abandoned() == []
            assert directory.exists()
        finally:
            last.kill()
    try:
        assert remove_abandoned() == [identity]
        assert not directory.exists()
        assert not region.exists()
        assert not environment.exists()
    finally:
        region.unlink(missing_ok=True)


@pytest.mark.usefixtures("identity")
def test_other_directories_stay(tmp_path: Path) -> None:
    foreign = tmp_path / "tritonpose-photos"
    foreign.mkdir()
    (foreign / "lock").touch()
    assert remove_abandoned() == []
    assert foreign.exists()


def test_what_was_removed_in_part_is_removed(identity: str, tmp_path: Path) -> None:
    part = tmp_path / f"{identity}-abcdefgh"
    (part / "models").mkdir(parents=True)
    assert remove_abandoned() == [identity]
    assert not part.exists()


def test_only_empty_python_environments_are_removed() -> None:
    name = secrets.token_hex(2)
    empty, used = (Path(f"/tmp/python_env_{name}{number}0") for number in range(2))
    before = python_environments()
    try:
        for path in (empty, used):
            path.mkdir()
        (used / "bin").mkdir()
        made = python_environments() - before
        assert {empty, used} <= made
        remove_python_environments({empty, used}, list)
        assert not empty.exists()
        assert used.exists()
    finally:
        (used / "bin").rmdir()
        used.rmdir()


def test_a_python_environment_that_another_triton_may_have_made_stays(tmp_path: Path) -> None:
    """It would abort at its end."""
    directory = tmp_path / "python_env"
    directory.mkdir()
    made = directory.stat().st_mtime
    # Times are exact to a second or so.
    for start in (made - 3, made + 1):
        remove_python_environments({directory}, lambda start=start: [start])
        assert directory.exists()
    # Started later, or long before.
    remove_python_environments({directory}, lambda: [made + 10, made - 1000])
    assert not directory.exists()


@pytest.mark.parametrize("kind", ["directory", "pipes", "pipe", "link", "file"])
def test_what_another_user_left_is_neither_opened_nor_removed(
    identity: str, tmp_path: Path, kind: str
) -> None:
    needs_other_user()
    region = Path(f"/dev/shm/{identity}abc")
    region.write_bytes(b"region of a running server")
    trap, target = tmp_path / f"{identity}-abcdefgh", tmp_path / "target"
    if kind in ("directory", "pipes"):
        trap.mkdir()
    if kind == "pipes":
        for name in ("lock", "python_environments"):
            os.mkfifo(trap / name)
    elif kind == "pipe":
        os.mkfifo(trap)
    elif kind == "link":
        target.mkdir()
        trap.symlink_to(target)
    elif kind == "file":
        trap.touch()
    os.chown(trap, OTHER_USER, OTHER_USER, follow_symlinks=False)
    try:
        assert remove_abandoned() == []
        assert region.exists()
        assert trap.is_symlink() or trap.exists()
    finally:
        region.unlink()


def test_pipes_and_links_of_an_own_directory_are_not_waited_for(
    identity: str, tmp_path: Path
) -> None:
    for number, make in enumerate((os.mkfifo, lambda path: path.symlink_to("elsewhere"))):
        directory = tmp_path / f"{identity}-{number}"
        directory.mkdir()
        make(directory / "lock")
    remove_abandoned()


@pytest.mark.parametrize("name", ["with a blank", "quo'te", 'quo"te', "do$llar", "se;mi", "grün"])
def test_a_server_is_never_put_where_a_shell_stumbles(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / name))
    assert Path(tempfile.gettempdir()) not in temporary_directories()
    directory, lock = make_directory(f"tritonpose-{secrets.token_hex(6)}")
    os.close(lock)
    shutil.rmtree(directory)
    assert name not in str(directory)


def test_no_place_for_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tritonpose_server.supervision.cleanup.temporary_directories", list)
    with pytest.raises(EmbeddedServerError, match=r"\$TMPDIR, /tmp and /var/tmp"):
        make_directory("tritonpose-0123456789ab")


def test_regions_of_another_user_do_not_stop_the_cleaning(identity: str) -> None:
    """Everybody can read a server's id, and make regions that begin with it."""
    region = Path(f"/dev/shm/{identity}trap")
    region.write_bytes(b"of another user")
    try:
        assert as_other_user(lambda: remove_shared_memory(identity)) is None
        assert region.exists()
    finally:
        region.unlink()
