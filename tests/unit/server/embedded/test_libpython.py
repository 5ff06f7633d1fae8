"""Finding the shared library of the running Python."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tritonpose_server.embedded import libpython
from tritonpose_server.embedded.libpython import find_libpython_directory
from tritonpose_server.errors import TritonNotInstalledError

NAME = f"libpython3.{sys.version_info.minor}.so.1.0"


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Names given to the dynamic loader; it finds everything."""
    names: list[str] = []
    monkeypatch.setattr(libpython.sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setattr(libpython.ctypes, "CDLL", names.append)
    set_own_directory(monkeypatch, tmp_path / "own")
    return names


def set_own_directory(monkeypatch: pytest.MonkeyPatch, directory: Path | None) -> None:
    """Say where Python's build put its library."""
    values = {"LIBDIR": None if directory is None else str(directory)}
    monkeypatch.setattr(libpython.sysconfig, "get_config_var", values.get)


def put_library(directory: Path, name: str = NAME) -> Path:
    directory.mkdir(parents=True)
    (directory / name).write_bytes(b"")
    return directory


def test_beside_the_interpreter(tmp_path: Path, loaded: list[str]) -> None:
    own = put_library(tmp_path / "own")
    put_library(tmp_path / "venv" / "lib")
    assert find_libpython_directory() == own
    assert loaded == []


@pytest.mark.parametrize("known", [True, False])
def test_in_the_virtual_environment(
    tmp_path: Path, loaded: list[str], monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    if not known:
        set_own_directory(monkeypatch, None)
    directory = put_library(tmp_path / "venv" / "lib")
    assert find_libpython_directory() == directory
    assert loaded == []


def test_by_the_dynamic_loader(tmp_path: Path, loaded: list[str]) -> None:
    put_library(tmp_path / "own", "libpython3.1.so.1.0")
    assert find_libpython_directory() is None
    assert loaded == [NAME]


@pytest.mark.usefixtures("loaded")
def test_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(libpython.ctypes, "CDLL", fail)
    package = NAME.removesuffix(".so.1.0")
    with pytest.raises(TritonNotInstalledError, match=f"apt-get install {package}`") as caught:
        find_libpython_directory()
    assert str(caught.value).startswith(f"{NAME} is missing")
