"""The cores that this process may use.

``docker run --cpus 2`` and a Kubernetes limit leave all cores of the machine visible, but stop all
threads for the rest of each period once they have used their share. So the limits of the control
groups count, too.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def available_cores() -> int:
    """Count the cores this process may run on, within its containers' CPU limits.

    A limit of 1.5 cores counts as 2: with fewer threads, half a core would lie idle.
    """
    bound = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quota = cpu_quota()
    return bound if quota is None else min(bound, max(math.ceil(quota), 1))


def cpu_quota(process: Path = Path("/proc/self")) -> float | None:
    """Read the least CPU limit of the process's control group and those around it.

    In cores, such as 1.5; None where nothing is limited or can be read.
    """
    limits = [limit for group in _groups(process) if (limit := _limit(group)) is not None]
    return min(limits, default=None)


def _groups(process: Path) -> Iterator[Path]:
    """Yield the directories of the control groups that can limit CPU time, innermost first."""
    paths = {
        kind: path
        for line in _read(process / "cgroup").splitlines()
        for _, controllers, path in [line.split(":", 2)]
        # Version 2 has one hierarchy without named controllers.
        for kind in ([""] if not controllers else controllers.split(","))
    }
    for line in _read(process / "mountinfo").splitlines():
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
    """Read what one group may use, in cores."""
    version_1 = [_read(group / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
    quota, period = (_read(group / "cpu.max") or " ".join(version_1)).split() or ("max", "0")
    return int(quota) / int(period) if quota not in ("max", "-1") else None


def _read(path: Path) -> str:
    """Read a file of the kernel; empty where there is none."""
    try:
        # Mount points may be in any encoding.
        return path.read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
