"""Keeps libraries from reporting their use to their makers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# ONNX Runtime and Ray heed these variables.
_SWITCHES = {"ORT_DISABLE_TELEMETRY": "1", "RAY_USAGE_STATS_ENABLED": "0"}

# Where OpenVINO keeps its user's consent, "1" or "0".
_OPENVINO_CONSENT = "intel/openvino_telemetry"


def withhold_usage_data() -> None:
    """Switch off what ONNX Runtime, OpenVINO and Ray send about their use.

    To be called before they are imported. What the user has decided otherwise, by the variables of
    ONNX Runtime and Ray or by OpenVINO's file of consent, stays.
    """
    for name, value in _SWITCHES.items():
        os.environ.setdefault(name, value)
    if not _openvino_may_report():
        # OpenVINO has no variable for it, but does without the package.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def _openvino_may_report() -> bool:
    try:
        return (Path.home() / _OPENVINO_CONSENT).read_text("utf-8").strip() == "1"
    except (OSError, RuntimeError, UnicodeDecodeError):
        return False
