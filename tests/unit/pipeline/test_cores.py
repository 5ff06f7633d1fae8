"""The cores that may be used, by CPU limits of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonpose_pipeline import cores
from tritonpose_pipeline.cores import available_cores, cpu_quota


class Machine:
    """A process's files under ``/proc``, and the control groups it can see."""

    def __init__(self, root: Path) -> None:
        self.process = root / "proc"
        self.groups = root / "cgroup"
        self.process.mkdir()

    def write(self, membership: str, *mounts: str) -> None:
        (self.process / "cgroup").write_text(membership)
        lines = [line.replace("GROUPS", str(self.groups)) for line in mounts]
        (self.process / "mountinfo").write_text("\n".join(lines), "utf-8", "surrogateescape")

    def limit(self, group: str, **files: str) -> None:
        directory = self.groups / group
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (directory / name.replace("_", ".", 1)).write_text(content + "\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


VERSION_2 = "31 23 0:28 / GROUPS rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate"
OTHER = "30 23 0:27 / /proc rw,relatime - proc proc rw"


@pytest.mark.parametrize(
    ("inner", "outer", "quota"),
    [
        ("max 100000", "max 100000", None),
        ("150000 100000", "max 100000", 1.5),
        ("max 100000", "200000 100000", 2.0),
        ("400000 100000", "50000 50000", 1.0),
        ("25000 100000", "300000 100000", 0.25),
    ],
)
def test_version_2(machine: Machine, inner: str, outer: str, quota: float | None) -> None:
    machine.write("0::/system.slice/pose.service\n", OTHER, VERSION_2)
    # The outermost group has no such file.
    machine.limit("system.slice", cpu_max=outer)
    machine.limit("system.slice/pose.service", cpu_max=inner)
    machine.limit("system.slice/other.service", cpu_max="1000 100000")
    assert cpu_quota(machine.process) == quota


def test_a_container_sees_its_own_group_as_the_outermost(machine: Machine) -> None:
    machine.write("0::/\n", OTHER.replace("/proc", "/mnt/caf\udce9", 1), VERSION_2)
    machine.limit("", cpu_max="200000 100000")
    assert cpu_quota(machine.process) == 2.0


@pytest.mark.parametrize("root", ["/docker/4711", "/elsewhere"])
def test_a_container_whose_path_is_the_host_s(machine: Machine, root: str) -> None:
    machine.write("0::/docker/4711\n", VERSION_2.replace("0:28 /", f"0:28 {root}", 1))
    machine.limit("", cpu_max="300000 100000")
    assert cpu_quota(machine.process) == 3.0


@pytest.mark.parametrize(("files", "quota"), [(("-1", "100000"), None), (("50000", "100000"), 0.5)])
def test_version_1(machine: Machine, files: tuple[str, str], quota: float | None) -> None:
    machine.write(
        "4:memory:/box\n3:cpu,cpuacct:/box\n0::/\n",
        "32 31 0:29 / GROUPS rw,relatime - cgroup cgroup rw,cpu,cpuacct",
        "36 31 0:32 / GROUPS/no rw,relatime - cgroup cgroup rw,memory",
    )
    machine.limit("box", cpu_cfs_quota_us=files[0], cpu_cfs_period_us=files[1])
    assert cpu_quota(machine.process) == quota


def test_nothing_to_be_read(machine: Machine) -> None:
    assert cpu_quota(machine.process) is None
    machine.write("0::/somewhere\n", OTHER)
    assert cpu_quota(machine.process) is None


@pytest.mark.parametrize(
    ("quota", "expected"), [(None, 8), (0.2, 1), (1.0, 1), (1.5, 2), (7.9, 8), (32.0, 8)]
)
def test_cores_within_the_limit(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, expected: int
) -> None:
    """Those this process may use, not those of the machine."""
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _pid: set(range(8)))
    monkeypatch.setattr(cores.os, "cpu_count", lambda: 64)
    monkeypatch.setattr(cores, "cpu_quota", lambda: quota)
    assert available_cores() == expected
