"""Running programs that conversion needs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from paddle_fakes import write_program
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.programs import Outcome, run_tool


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_output_and_status(tmp_path: Path) -> None:
    program = write_program(
        tmp_path / "program",
        'print("\\x1b[31mred\\x1b[0m", flush=True)\n'
        'print("second", file=sys.stderr, flush=True)\n'
        'sys.stdout.buffer.write(b"\\xff\\n")\nsys.exit(int(sys.argv[1]))',
    )
    lines: list[str] = []
    outcome = run_tool("tool", [str(program), "3"], timeout_s=30, on_line=lines.append)
    assert outcome == Outcome(3, "red\nsecond\n\ufffd\n")
    assert lines == ["red", "second", "\ufffd"]


def test_lines_come_as_they_are_written(tmp_path: Path) -> None:
    """The program goes on only when its first line was seen."""
    seen = tmp_path / "seen"
    program = write_program(
        tmp_path / "program",
        f'print("first", flush=True)\nwhile not Path({str(seen)!r}).exists(): time.sleep(0.01)',
    )
    outcome = run_tool("tool", [str(program)], timeout_s=30, on_line=seen.write_text)
    assert outcome.status == 0


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ("os.abort()", Outcome(-6, "")),
        # Programs get no input.
        ("print(repr(sys.stdin.read()))", Outcome(0, "''\n")),
    ],
)
def test_ends(tmp_path: Path, body: str, outcome: Outcome) -> None:
    program = write_program(tmp_path / "program", body)
    assert run_tool("tool", [str(program)], timeout_s=30) == outcome


@pytest.mark.parametrize("closes_output", [False, True])
def test_timeout_ends_it_with_its_children(tmp_path: Path, closes_output: bool) -> None:
    pids = tmp_path / "pids"
    program = write_program(
        tmp_path / "program",
        'child = subprocess.Popen(["sleep", "600"])\n'
        f'Path({str(pids)!r}).write_text(f"{{os.getpid()}} {{child.pid}}")\n'
        'print("half way", flush=True)\n'
        + ("os.close(1)\nos.close(2)\n" if closes_output else "")
        + "time.sleep(600)",
    )
    with pytest.raises(ConversionError, match=r"tool did not finish in 1\.5 s[\s\S]*half way"):
        run_tool("tool", [str(program)], timeout_s=1.5)
    running = [int(pid) for pid in pids.read_text().split()]
    start = time.monotonic()
    while any(map(is_running, running)) and time.monotonic() - start < 20:
        time.sleep(0.01)
    assert len(running) == 2
    assert not any(map(is_running, running))


def test_it_ends_when_the_caller_is_interrupted(tmp_path: Path) -> None:
    program = write_program(tmp_path / "program", "print(os.getpid(), flush=True)\ntime.sleep(60)")
    pids: list[int] = []

    def interrupt(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tool("tool", [str(program)], timeout_s=30, on_line=interrupt)
    assert not is_running(pids[0])


def test_programs_that_are_missing(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"tool can't be started: .*nothing"):
        run_tool("tool", [str(tmp_path / "nothing")], timeout_s=1)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("", ["(none)"]),
        ("a\n\nb\n", ["a", "b"]),
        ("\n".join("abcdefghij"), list("cdefghij")),
        (
            "WARNING: x\nERROR: y\n[notice] z\nf.py:1: UserWarning: w\n  warnings.warn(m)",
            ["ERROR: y"],
        ),
    ],
)
def test_last_lines(output: str, expected: list[str]) -> None:
    assert Outcome(1, output).last_lines() == "\n".join(["Its last lines:", *expected])
