"""Files and shared memory that a process makes are its user's alone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from multiprocessing import shared_memory
from pathlib import Path

from other_user import as_other_user

# As Boost does, which Triton's Python backend makes its regions with.
PROGRAM = """
import os
from multiprocessing.shared_memory import SharedMemory
from tritonpose_server.private_memory import keep_files_private
assert keep_files_private()
region = SharedMemory(create=True, size=100)
descriptor = os.open(f"/dev/shm/{region.name}", os.O_RDWR)
os.fchmod(descriptor, 0o644)
print(region.name, flush=True)
input()
region.unlink()
"""


def test_no_other_user_reads_shared_memory() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        path = f"/dev/shm/{process.stdout.readline().decode().strip()}"
        try:
            assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
            if os.getuid() == 0:
                assert as_other_user(lambda: os.open(path, os.O_RDONLY)) == "PermissionError"
        finally:
            process.communicate(b"\n")
    assert process.returncode == 0


def test_other_users_would_read_it_otherwise() -> None:
    """The test above does not pass for another reason."""
    region = shared_memory.SharedMemory(create=True, size=100)
    try:
        path = f"/dev/shm/{region.name}"
        Path(path).chmod(0o644)
        assert isinstance(as_other_user(lambda: os.open(path, os.O_RDONLY)), int)
    finally:
        region.close()
        region.unlink()
