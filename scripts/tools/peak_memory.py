"""The most memory that this process has had resident."""

from __future__ import annotations

import re
from pathlib import Path


def peak_mb() -> int:
    """Return it; unlike ``ru_maxrss``, without what the parent had when it started this process."""
    # psutil has no peak.
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) // 1024
