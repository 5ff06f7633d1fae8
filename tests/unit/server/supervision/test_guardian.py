"""The guardian as a real process: whatever happens, nothing is left behind."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leftovers import alive, descendants, shared_memory, wait_until
from tritonpose_server.supervision import guardian

# A child, a grandchild, and one that has left its parent and its session.
FAMILY = """
sleep 300 &
sh -c 'sleep 300 & wait' &
(setsid sleep 300 &)
echo ready
"""
SLEEPERS = 3

SHELL_KILLED = 128 + signal.SIGKILL
SHELL_TERMINATED = 128 + signal.SIGTERM

HOST = """
import subprocess, sys, time
stdin = {"own": subprocess.PIPE, "inherited": None}[sys.argv[1]]
guardian = subprocess.Popen(sys.argv[2:], stdin=stdin)
time.sleep(300)
"""


def family_of(pid: int, sleepers: int) -> list[int] | None:
    """Processes below a process, None as long as fewer of them are ``sleep``."""
    try:
        found = descendants(pid)
        names = [Path(f"/proc/{child}/comm").read_text().strip() for child in found]
    except OSError:  # Processes come and go.
        return None
    return found if names.count("sleep") >= sleepers else None


class Guarded:
    """A command under guard, and what it must not leave behind."""

    def __init__(self, folder: Path) -> None:
        self.identity = f"tritonpose-test-{secrets.token_hex(8)}"
        self.directory = folder / "work"
        (self.directory / "deep").mkdir(parents=True)
        (self.directory / "deep" / "file").write_text("")
        self.regions = self._put_regions(self.identity, f"{self.identity}_region")
        self.others = self._put_regions(f"other-{self.identity}", self.identity[:-1])
        self.process: subprocess.Popen[bytes] | None = None
        self.family: list[int] = []

    def command(self, script: str, grace: float) -> list[str]:
        return [
            *(sys.executable, "-I", "-m", guardian.__name__),
            *(self.identity, str(self.directory), str(grace)),
            *("sh", "-c", script),
        ]

    def start(
        self, script: str, *, grace: float = 10, sleepers: int = 0, host: str = ""
    ) -> subprocess.Popen[bytes]:
        """Start the guardian, or a host that starts it, and wait until the script is ready.

        Args:
            script: Shell script to guard; prints a line when it is ready.
            grace: Seconds it gets to end by itself.
            sleepers: Number of ``sleep`` processes that it starts and does not wait for.
            host: Whose standard input the guardian gets when a host starts it: its ``own`` pipe
                or the ``inherited`` one.
        """
        command = self.command(script, grace)
        if host:
            command = [sys.executable, "-c", HOST, host, *command]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.process = process
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert wait_until(lambda: family_of(process.pid, sleepers) is not None)
        self.family = family_of(process.pid, 0) or []
        return process

    def is_gone(self) -> bool:
        """Whether processes, directory and regions are gone, and only the regions of its own."""
        assert all(region.exists() for region in self.others)
        return not (
            any(map(alive, self.family))
            or self.directory.exists()
            or any(region.exists() for region in self.regions)
            or shared_memory(self.identity)
        )

    def clean_up(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in filter(None, (self.process.stdin, self.process.stdout)):
                pipe.close()
        for pid in filter(alive, self.family):
            os.kill(pid, signal.SIGKILL)
        for region in self.regions + self.others:
            region.unlink(missing_ok=True)

    def _put_regions(self, *names: str) -> list[Path]:
        paths = [Path("/dev/shm", name) for name in names]
        for path in paths:
            path.write_bytes(b"region")
        return paths


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    guarded = Guarded(tmp_path)
    yield guarded
    guarded.clean_up()


def close_input(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()


def sender(number: signal.Signals) -> Callable[[subprocess.Popen[bytes]], None]:
    return lambda process: process.send_signal(number)


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 0", 0),
        ("exit 3", 3),
        ("kill -KILL $$", SHELL_KILLED),
        ("kill -TERM $$", SHELL_TERMINATED),
    ],
)
def test_command_that_ends_by_itself(guarded: Guarded, script: str, status: int) -> None:
    process = guarded.start(f"echo ready; {script}")
    assert process.wait(20) == status
    assert guarded.is_gone()


def test_family_of_a_command_that_ends_by_itself(guarded: Guarded) -> None:
    """Its descendants, and regions made while it ran, do not outlive it."""
    gate = guarded.directory / "gate"
    os.mkfifo(gate)
    region = f"/dev/shm/{guarded.identity}_late"
    process = guarded.start(
        f"{FAMILY} read line < {gate}; echo x > {region}; exit 3",
        sleepers=SLEEPERS,
    )
    gate.write_text("go\n")
    assert process.wait(20) == 3
    assert guarded.is_gone()


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(close_input, id="closed input"),
        pytest.param(sender(signal.SIGTERM), id="SIGTERM"),
        pytest.param(sender(signal.SIGINT), id="SIGINT"),
        pytest.param(sender(signal.SIGHUP), id="SIGHUP"),
    ],
)
def test_end_that_is_asked_for(
    guarded: Guarded, end: Callable[[subprocess.Popen[bytes]], None]
) -> None:
    process = guarded.start(f"{FAMILY} wait", grace=100, sleepers=SLEEPERS)
    assert all(map(alive, guarded.family))
    end(process)
    assert process.wait(20) == SHELL_TERMINATED
    assert guarded.is_gone()


@pytest.mark.parametrize("host", ["own", "inherited"])
def test_death_of_the_parent(guarded: Guarded, host: str) -> None:
    """Noticed by the end of the input, and where another process holds that open as well."""
    process = guarded.start(f"{FAMILY} wait", sleepers=SLEEPERS, host=host)
    process.kill()
    process.wait(20)
    assert wait_until(guarded.is_gone, 20)


def test_death_of_the_guardian_ends_the_command(guarded: Guarded) -> None:
    process = guarded.start("echo ready; exec sleep 300")
    (command,) = guarded.family
    process.kill()
    process.wait(20)
    assert wait_until(lambda: not alive(command), 20)


def test_input_does_not_end_it(guarded: Guarded) -> None:
    process = guarded.start("echo ready; exec sleep 300")
    assert process.stdin is not None
    process.stdin.write(b"anything\n")
    process.stdin.flush()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.6)
    assert guarded.directory.exists()
    close_input(process)
    assert process.wait(20) == SHELL_TERMINATED


def test_command_gets_time_to_end(guarded: Guarded) -> None:
    process = guarded.start(
        "trap 'sleep 0.5; exit 7' TERM; sleep 300 & echo ready; wait", grace=100
    )
    close_input(process)
    assert process.wait(20) == 7
    assert guarded.is_gone()


REQUEST = """
exec 9> "$TRITONPOSE_DRAIN_FILE.busy"
flock --shared 9
trap 'exit 3' TERM
echo ready
while ! test -e "$TRITONPOSE_DRAIN_FILE"; do sleep 0.05; done
sleep 0.5
trap 'exit 5' TERM
flock --unlock 9
while :; do sleep 0.05; done
"""


def test_command_with_requests_in_flight_is_asked_to_end_after_them(guarded: Guarded) -> None:
    process = guarded.start(REQUEST, grace=100)
    close_input(process)
    assert process.wait(20) == 5
    assert guarded.is_gone()


def test_command_that_does_not_end_in_time(guarded: Guarded) -> None:
    process = guarded.start("trap '' TERM; sleep 300 & echo ready; wait", grace=0.5)
    start = time.monotonic()
    close_input(process)
    assert process.wait(20) == SHELL_KILLED
    assert time.monotonic() - start > 0.5
    assert guarded.is_gone()


@pytest.mark.parametrize("missing", ["directory", "regions"])
def test_what_is_gone_already(guarded: Guarded, missing: str) -> None:
    removal = {"directory": f"rm -r {guarded.directory}", "regions": f"rm {guarded.regions[0]}"}
    process = guarded.start(f"{removal[missing]}; echo ready; exit 5")
    assert process.wait(20) == 5
    assert guarded.is_gone()


def test_command_that_can_not_be_started(guarded: Guarded) -> None:
    command = [*guarded.command("", 1)[:-3], str(guarded.directory / "nothing")]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    assert result.returncode != 0
    assert guarded.is_gone()
