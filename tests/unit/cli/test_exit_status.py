"""How commands end."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from tritonpose.cli.console import be_quiet, exit_status, print_error, print_status
from tritonpose.errors import ConfigError, InputError, ServerUnavailableError
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models.errors import ConversionError, FetchError


def raising(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize("status", [0, 1])
def test_a_command_that_ends_by_itself(status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(lambda: status) == status
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ConfigError("wrong YAML"), 2, "error: wrong YAML\n"),
        (InputError("no image"), 1, "error: no image\n"),
        (ServerUnavailableError("nobody there"), 1, "error: nobody there\n"),
        (EmbeddedServerError("no Triton"), 1, "error: no Triton\n"),
        (ConversionError("no model"), 1, "error: no model\n"),
        (FetchError("no network"), 1, "error: no network\n"),
        (PermissionError(13, "denied", "out"), 1, "error: denied: 'out'\n"),
        (MemoryError(), 1, "error: there is not enough memory for this\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_foreseen_errors(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status(raising(error)) == status
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", line)


@pytest.mark.parametrize(
    ("command", "module", "line"),
    [
        ("serve", "onnx", "error: serve needs the extra `server`: pip install "),
        *(
            ("batch", module, "error: batch needs the extra `batch`: pip install ")
            for module in ("ray", "pyarrow", "fsspec")
        ),
        (None, "tritonpose.x", "error: unexpected ModuleNotFoundError at test_"),
    ],
)
def test_a_missing_module(
    command: str | None, module: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ModuleNotFoundError(f"No module named {module!r}", name=module)
    assert exit_status(raising(error), command) == 1
    assert capsys.readouterr().err.startswith(line)


def test_an_unforeseen_error_says_where_it_is_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(raising(KeyError("x"))) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("error: unexpected KeyError at test_exit_status.py:")
    assert printed.err.endswith(": 'x'\n")
    assert printed.err.count("\n") == 1


PROGRAM = """
import sys
from tritonpose.cli.console import exit_status

def command():
    for _ in range(100_000):
        print("a line")
    return 0

sys.exit(exit_status(command))
"""


def test_a_reader_that_goes_away() -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "a line\n"
    program.stdout.close()
    _, errors = program.communicate(timeout=60)
    assert (program.returncode, errors) == (141, "")


def test_characters_that_the_output_lacks() -> None:
    program = PROGRAM.replace("range(100_000)", "range(1)").replace("a line", "pf\\u00e4d \\u4eba")
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"pf\xe4d \\u4eba\n"


CLOSED = """
import os, sys
from tritonpose.cli.console import exit_status, print_status

def command():
    print_status("going on")
    print("a result")
    with open("file", "w+") as file:
        print("to the user", file=sys.stderr)
        os.write(2, b"of a library")
        os.write(1, b"")
        return len(file.read())

sys.exit(exit_status(command))
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams(closed: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, CLOSED],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout == ("" if ">&-" in closed.replace("2>&-", "") else "a result\n")
    assert ("going on" in done.stderr) == ("2>&-" not in closed)


def test_a_full_disk_behind_standard_output() -> None:
    program = PROGRAM.replace("range(100_000)", "range(1)")
    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" -c "$1" >/dev/full', sys.executable, program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "error: No space left on device\n")


def test_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        be_quiet()
        print_status("going on")
        for _ in range(2):
            warnings.warn("look out", stacklevel=2)
        print_error("gone wrong")
        return 0

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert exit_status(command) == 0
    assert capsys.readouterr().err == "[tritonpose] warning: look out\nerror: gone wrong\n"
    assert exit_status(lambda: print_status("going on") or 0) == 0
    assert capsys.readouterr().err == "[tritonpose] going on\n"


def test_what_is_printed_is_json_where_the_log_is() -> None:
    """In a process of its own: here the log is pytest's."""
    program = """
import warnings
from tritonpose.cli.console import exit_status, print_status
from tritonpose.cli.logs import LogOptions, log_service
from tritonpose.errors import ConfigError

def command():
    log_service(LogOptions(json=True))
    print_status("going on")
    warnings.warn("look out")
    raise ConfigError("gone wrong")

raise SystemExit(exit_status(command))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["level"], line["message"]) for line in lines] == [
        ("INFO", "going on"),
        ("WARNING", "look out"),
        ("ERROR", "gone wrong"),
    ]
