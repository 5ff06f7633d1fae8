"""CPU time that control groups allow this process, as containers and systemd limit it.

``docker run --cpus 2`` and a Kubernetes limit leave all cores of the machine visible, but stop all
threads for the rest of each period once they have used their share.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def cpu_quota(process: Path = Path("/proc/self")) -> float | None:
    """The least limit of the process's control group and those around it.

    Args:
        process: The process's directory under ``/proc``.

    Returns:
        Cores, such as 1.5; None where nothing is limited or can be read.
    """
    limits = [limit for group in _groups(process) if (limit := _limit(group)) is not None]
    return min(limits, default=None)


def _groups(process: Path) -> Iterator[Path]:
    """Directories of the control groups that can limit CPU time, innermost first."""
    paths = {
        kind: path
        for line in _lines(process / "cgroup")
        for _, controllers, path in [line.split(":", 2)]
        # Version 2 has one hierarchy without named controllers.
        for kind in ([""] if not controllers else controllers.split(","))
    }
    for line in _lines(process / "mountinfo"):
        place, _, kind = line.partition(" - ")
        root, mount_point = place.split()[3:5]
        system, _, options = kind.split(" ", 2)
        if system == "cgroup2":
            controller = ""
        elif system == "cgroup" and "cpu" in options.split(","):
            controller = "cpu"
        else:
            continue
        if controller not in paths:
            continue
        group = PurePosixPath(paths[controller])
        # A container may see its own group only, mounted as if it were the outermost.
        inner = group.relative_to(root) if group.is_relative_to(root) else PurePosixPath()
        for part in (inner, *inner.parents):
            yield Path(mount_point, *(name for name in part.parts if name != ".."))


def _limit(group: Path) -> float | None:
    """What one group may use, in cores."""
    version_1 = (*_words(group / "cpu.cfs_quota_us"), *_words(group / "cpu.cfs_period_us"))
    quota, period = _words(group / "cpu.max") or version_1 or ("max", "0")
    return int(quota) / int(period) if quota not in ("max", "-1") else None


def _words(path: Path) -> list[str]:
    try:
        return path.read_text("ascii").split()
    except OSError:
        return []


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except OSError:
        return []
