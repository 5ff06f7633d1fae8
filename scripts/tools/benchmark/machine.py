"""The machine and the software that figures are from."""

from __future__ import annotations

import contextlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version

import psutil

from tools.benchmark.processor import processor_name

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
