"""The machine and the software that figures are from."""

from __future__ import annotations

import contextlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

_PACKAGES = (
    "tritonpose",
    "numpy",
    "opencv-python-headless",
    "openvino",
    "onnxruntime",
    "tritonclient",
    "nvidia-pytriton",
)


def machine_facts() -> dict[str, object]:
    """Processor, cores, memory, system."""
    return {
        "processor": processor_name(),
        "cores": len(os.sched_getaffinity(0)),
        "cores_of_machine": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def package_versions() -> dict[str, str]:
    """Versions of what takes part on our side; those not installed are left out."""
    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def processor_name() -> str:
    """The processor's name, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
