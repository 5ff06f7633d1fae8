"""Making the environment in which Paddle runs, with stand-ins for pip."""

from __future__ import annotations

import platform
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from paddle_fakes import INSTALLS, write_program
from tritonpose_server.models.errors import ConversionError, HomeError
from tritonpose_server.models.paddle.tool_environment import PADDLE_ENVIRONMENT, ToolEnvironment

Pip = Callable[[str], Path]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRITONPOSE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def environment(tmp_path: Path) -> ToolEnvironment:
    """That of Paddle, with a stand-in for pip."""
    return replace(PADDLE_ENVIRONMENT, pip=(str(tmp_path / "pip"),))


@pytest.fixture
def pip(tmp_path: Path) -> Pip:
    """Puts statements in the place of pip; each call adds a line to the file returned."""
    calls = tmp_path / "calls"
    calls.touch()
    program = tmp_path / "pip"

    def use(body: str) -> Path:
        log = f'open({str(calls)!r}, "a").write(" ".join(sys.argv[1:]) + "\\n")\n'
        write_program(program, log + body)
        return calls

    return use


def left(home: Path) -> list[str]:
    return sorted(path.name for path in home.glob("environments/*"))


def test_it_is_made_once(home: Path, pip: Pip, environment: ToolEnvironment) -> None:
    calls = pip(INSTALLS)
    assert environment.find() is None
    lines: list[str] = []
    python = environment.ensure(lines.append)
    assert len(lines) == 1
    assert str(home / "environments") in lines[0]
    assert environment.find() == python
    assert environment.ensure(lines.append) == python
    assert len(lines) == 1
    (call,) = calls.read_text().splitlines()
    assert "install" in call.split()
    assert "--only-binary=:all:" in call.split()
    (name,) = left(home)
    assert name.startswith("paddle2onnx-")
    assert python == home / "environments" / name / "bin" / "python"
    # Packages come from there, and from nowhere else.
    where = "import paddle, sys; print(paddle.__file__); print(sys.path)"
    result = subprocess.run([python, "-I", "-c", where], capture_output=True, text=True, check=True)
    file, search_path = result.stdout.splitlines()
    assert Path(file).is_relative_to(home / "environments" / name)
    assert str(Path(pytest.__file__).parents[1]) not in search_path


def test_downloads_are_shown(pip: Pip, environment: ToolEnvironment) -> None:
    pip(
        'print("Collecting big==1")\nprint("  Downloading big-1.whl (194.8 MB)")\n'
        'print("Downloading small-1.whl (20 kB)")\nprint("WARNING: x")\n'
        f'print("Installing collected packages: big, small")\n{INSTALLS}'
    )
    lines: list[str] = []
    environment.ensure(lines.append)
    assert lines[1:] == ["  Downloading big-1.whl (194.8 MB)", "  Installing collected packages"]


@pytest.mark.parametrize("change", ["pins", "machine"])
def test_other_pins_get_another_environment(
    tmp_path: Path,
    home: Path,
    pip: Pip,
    environment: ToolEnvironment,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    pip(INSTALLS)
    first = environment.ensure(print)
    if change == "pins":
        (tmp_path / "pins.txt").write_text("paddlepaddle==9\n")
        environment = replace(environment, requirements=tmp_path / "pins.txt")
    else:
        monkeypatch.setattr(platform, "machine", lambda: "other")
    assert environment.find() is None
    assert environment.ensure(print) != first
    assert len(left(home)) == 2


@pytest.mark.parametrize(
    ("pip_does", "words"),
    [
        (
            """sys.exit('''WARNING: Retrying after NewConnectionError: Name or service not known
ERROR: No matching distribution found for paddlepaddle''')""",
            ["can't reach its package index", "pip config list"],
        ),
        (
            'sys.exit("ERROR: Could not install packages: [Errno 28] No space left on device")',
            ["the disk is full", "takes 1 GB", "TRITONPOSE_HOME", "No space left"],
        ),
        (
            'sys.exit("ERROR: No matching distribution found for onnx==1.17.0")',
            ["Python 3.10 to 3.12", f"this is Python {sys.version_info[0]}.", "onnx==1.17.0"],
        ),
        ('sys.exit("python: No module named pip")', ["-m ensurepip"]),
        (
            'print("ERROR: something", file=sys.stderr)\nprint("[notice] new pip")\nsys.exit(7)',
            ["pip failed with status 7", "Its last lines:\nERROR: something"],
        ),
        ("os.kill(os.getpid(), 9)", ["pip failed with status -9"]),
        ("pass", ["installed but does not start", "No module named 'paddle'"]),
        (
            f'{INSTALLS}\n(packages / "paddle.py").write_text("import libgomp")',
            ["system library may be missing", "libgomp"],
        ),
        ("time.sleep(60)", ["pip did not finish in 0.5 s"]),
    ],
)
def test_failures_leave_nothing(
    home: Path, pip: Pip, environment: ToolEnvironment, pip_does: str, words: list[str]
) -> None:
    environment = replace(environment, install_timeout_s=0.5 if "sleep" in pip_does else 10)
    calls = pip(pip_does)
    for attempt in (1, 2):
        with pytest.raises(ConversionError) as caught:
            environment.ensure(print)
        for part in words:
            assert part in str(caught.value)
        assert environment.find() is None
        assert left(home) == []
        # The next time is a new try.
        assert len(calls.read_text().splitlines()) == attempt
    pip(INSTALLS)
    assert replace(environment, install_timeout_s=10).ensure(print).exists()


@pytest.mark.parametrize("half_made", [False, True])
def test_environments_that_can_not_be_used(
    home: Path, pip: Pip, environment: ToolEnvironment, half_made: bool
) -> None:
    """One that a killed maker left behind, or whose Python is gone, is made again."""
    calls = pip(INSTALLS)
    python = environment.ensure(print)
    made = python.parent.parent
    made.with_name(".other-abandoned").mkdir()
    if half_made:
        made.rename(made.with_name(f".{made.name}-abandoned"))
    else:
        python.unlink()
        python.symlink_to("/nowhere/python")
    assert environment.find() is None
    assert environment.ensure(print) == python
    assert python.exists()
    assert left(home) == [".other-abandoned", made.name]
    assert len(calls.read_text().splitlines()) == 2


def test_parallel_makers(home: Path, pip: Pip, environment: ToolEnvironment) -> None:
    calls = pip(f"time.sleep(0.5)\n{INSTALLS}")
    found: list[Path] = []
    makers = [
        threading.Thread(target=lambda: found.append(environment.ensure(print))) for _ in range(4)
    ]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(calls.read_text().splitlines()) == 1
    assert found == [environment.find()] * 4
    assert len(left(home)) == 1


def test_places_that_can_not_be_written(home: Path, pip: Pip, environment: ToolEnvironment) -> None:
    pip(INSTALLS)
    home.write_text("a file")
    with pytest.raises(HomeError, match=r"environments can't be used \((File exists|Not a).*HOME"):
        environment.ensure(print)
