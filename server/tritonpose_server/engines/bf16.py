"""Whether this machine's CPU computes in bfloat16."""

from __future__ import annotations

import openvino


def cpu_has_bf16() -> bool:
    """Whether the CPU has instructions for bfloat16 (AVX512-BF16, AMX, AVX-NE-CONVERT).

    OpenVINO takes the hint bf16 on any CPU: where the instructions are missing it emulates them
    slowly or silently computes in FP32, so it must not be asked then.
    """
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
