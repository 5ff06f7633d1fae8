"""Finding tritonserver and libpython in a Python environment."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

from tritonpose.cli.logs import LogOptions
from tritonpose.config import PipelineConfig
from tritonpose_server.cli import servers
from tritonpose_server.embedded import installation
from tritonpose_server.embedded.installation import (
    TritonInstallation,
    find_libpython_directory,
    find_triton,
)
from tritonpose_server.embedded.options import ServerOptions
from tritonpose_server.errors import TritonNotInstalledError
from tritonpose_server.service.rest.settings import RestSettings

PYTHON = f"3.{sys.version_info.minor}"
STUB = f"python_backend_stubs/{PYTHON}/triton_python_backend_stub"


class FakeDistribution:
    """What ``importlib.metadata`` says of an installed wheel."""

    version = "0.7.0"

    def __init__(self, site: Path) -> None:
        self._site = site

    def locate_file(self, path: str) -> Path:
        return self._site / path


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The ``site-packages`` with a wheel that lacks all files, on Linux x86-64."""

    def distribution(name: str) -> FakeDistribution:
        assert name == "nvidia-pytriton"
        return FakeDistribution(tmp_path)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    set_machine(monkeypatch, "linux", "x86_64")
    return tmp_path


def set_machine(monkeypatch: pytest.MonkeyPatch, system: str, machine: str) -> None:
    monkeypatch.setattr(installation.sys, "platform", system)
    monkeypatch.setattr(installation.platform, "machine", lambda: machine)


def put_files(site: Path, *names: str) -> Path:
    root = site / "pytriton" / "tritonserver"
    for name in names:
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(b"")
    return root


@pytest.mark.usefixtures("site")
def test_pythons_without_a_numpy_for_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation.sys, "version_info", (3, 13, 1, "final", 0))
    with pytest.raises(TritonNotInstalledError, match=r"3.10 to 3.12, this is Python 3.13.*3\.12`"):
        find_triton()


def test_models_are_not_fetched_for_a_server_that_cannot_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_machine(monkeypatch, "darwin", "arm64")
    monkeypatch.setattr(
        servers, "choose_models", lambda *_, **__: pytest.fail("models are fetched")
    )
    monkeypatch.setattr(servers.signal, "signal", lambda *_: None)
    rest = RestSettings(triton_url="", port=0)
    with pytest.raises(TritonNotInstalledError, match="--url local:"):
        servers.embedded_server(PipelineConfig(), None, print)
    with pytest.raises(TritonNotInstalledError, match="--url local:"):
        servers.serve(PipelineConfig(), ServerOptions(), rest, LogOptions())


def test_complete(site: Path) -> None:
    root = put_files(site, "bin/tritonserver", STUB)
    assert find_triton() == TritonInstallation(
        binary=root / "bin" / "tritonserver",
        libraries=site / "nvidia_pytriton.libs",
        python_backend=root / "backends" / "python",
        python_stub=root / STUB,
    )


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], f"nvidia-pytriton 0.7.0 has no Python backend for Python {PYTHON}"),
        (["bin/tritonserver"], f"nvidia-pytriton 0.7.0 has no Python backend for Python {PYTHON}"),
        (
            ["bin/tritonserver", "python_backend_stubs/3.1/triton_python_backend_stub"],
            f"has no Python backend for Python {PYTHON}",
        ),
        ([STUB], "bin/tritonserver: reinstall it"),
    ],
)
def test_incomplete(site: Path, files: list[str], words: str) -> None:
    put_files(site, *files)
    with pytest.raises(TritonNotInstalledError) as caught:
        find_triton()
    assert words in str(caught.value)


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def distribution(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    set_machine(monkeypatch, "linux", "x86_64")
    with pytest.raises(TritonNotInstalledError, match="is not installed: pip install "):
        find_triton()


@pytest.mark.parametrize(
    ("system", "machine"), [("linux", "aarch64"), ("darwin", "x86_64"), ("win32", "AMD64")]
)
def test_other_machines(
    site: Path, monkeypatch: pytest.MonkeyPatch, system: str, machine: str
) -> None:
    put_files(site, "bin/tritonserver", STUB)
    set_machine(monkeypatch, system, machine)
    with pytest.raises(TritonNotInstalledError, match=f"this is {system} {machine}: use a server"):
        find_triton()


# --- libpython ---

NAME = f"libpython3.{sys.version_info.minor}.so.1.0"


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Names given to the dynamic loader; it finds everything."""
    names: list[str] = []
    monkeypatch.setattr(installation.sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setattr(installation.ctypes, "CDLL", names.append)
    set_own_directory(monkeypatch, tmp_path / "own")
    return names


def set_own_directory(monkeypatch: pytest.MonkeyPatch, directory: Path | None) -> None:
    """Say where Python's build put its library."""
    values = {"LIBDIR": None if directory is None else str(directory)}
    monkeypatch.setattr(installation.sysconfig, "get_config_var", values.get)


def put_library(directory: Path, name: str = NAME) -> Path:
    directory.mkdir(parents=True)
    (directory / name).write_bytes(b"")
    return directory


@pytest.mark.parametrize(
    ("places", "own"),
    [(["own", "venv/lib"], "own"), (["venv/lib"], "own"), (["venv/lib"], None)],
)
def test_beside_the_interpreter_or_in_the_virtual_environment(
    tmp_path: Path,
    loaded: list[str],
    monkeypatch: pytest.MonkeyPatch,
    places: list[str],
    own: str | None,
) -> None:
    set_own_directory(monkeypatch, tmp_path / own if own else None)
    directories = [put_library(tmp_path / place) for place in places]
    assert find_libpython_directory() == directories[0]
    assert loaded == []


def test_by_the_dynamic_loader(tmp_path: Path, loaded: list[str]) -> None:
    put_library(tmp_path / "own", "libpython3.1.so.1.0")
    assert find_libpython_directory() is None
    assert loaded == [NAME]


@pytest.mark.usefixtures("loaded")
def test_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(installation.ctypes, "CDLL", fail)
    package = NAME.removesuffix(".so.1.0")
    with pytest.raises(TritonNotInstalledError, match=f"apt-get install {package}`") as caught:
        find_libpython_directory()
    assert str(caught.value).startswith(f"{NAME} is missing")
