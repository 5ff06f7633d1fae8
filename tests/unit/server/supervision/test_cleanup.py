"""What a killed server leaves is removed, and nothing else."""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path

import pytest

from tritonpose_server.supervision.cleanup import (
    make_directory,
    python_environments,
    record_python_environments,
    remove_abandoned,
    remove_python_environments,
)


@pytest.fixture
def identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
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
    last = subprocess.Popen(["sleep", "60"], pass_fds=[lock])
    try:
        os.close(lock)
        assert remove_abandoned() == []
        assert directory.exists()
        last.kill()
        last.wait()
        assert remove_abandoned() == [identity]
        assert not directory.exists()
        assert not region.exists()
        assert not environment.exists()
    finally:
        last.kill()
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
    remove_python_environments({directory}, lambda: [made - 3])
    assert directory.exists()
    # Started later, or long before.
    remove_python_environments({directory}, lambda: [made + 10, made - 1000])
    assert not directory.exists()
