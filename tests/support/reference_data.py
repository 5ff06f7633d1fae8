"""PaddleX's own models, images and recorded results, where this machine has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2].parent / "shared"

needed = pytest.mark.skipif(
    not ROOT.is_dir(), reason="needs the reference data folder ../shared, absent on this machine"
)


@dataclass(frozen=True)
class Setting:
    """How PaddleX was set up for one series of recorded results.

    Attributes:
        name: Folder of the results.
        detector: Folder of the detector.
        keypoint_model: Folder of the keypoint model.
        flip: Whether results are averaged with those of the mirrored crop.
        use_udp: Whether crops are UDP's.
        threshold: Detector score threshold of the call, None for the default.
    """

    name: str
    detector: str
    keypoint_model: str
    flip: bool = False
    use_udp: bool = False
    threshold: float | None = None


SETTINGS = tuple(
    Setting(
        name=f"picodet{detector}_tinypose{keypoint_model[:3]}{suffix}",
        detector=f"PicoDet-S_pedestrian_{detector}",
        keypoint_model=f"PP-TinyPose_{keypoint_model}",
        flip=suffix == "_flip",
        use_udp=suffix == "_udp",
        threshold=0.3 if suffix == "_thr0.3" else None,
    )
    for detector, keypoint_model, suffix in (
        ("320", "128x96", ""),
        ("320", "256x192", ""),
        ("192", "128x96", ""),
        ("192", "256x192", ""),
        ("320", "128x96", "_flip"),
        ("320", "256x192", "_flip"),
        ("320", "128x96", "_udp"),
        ("320", "256x192", "_udp"),
        ("320", "128x96", "_thr0.3"),
    )
)


def paddle_models() -> Iterator[tuple[Path, Any]]:
    """Model directories with an ONNX file, and the role of each."""
    for path in sorted(ROOT.glob("models/*/inference.onnx")):
        role = "keypoint" if "TinyPose" in path.parent.name else "detector"
        yield path.parent, role


def golden_folder(cpuinfo: str) -> str:
    """Name the folder of PaddleX's results on a CPU like this one.

    PaddleX differs from itself across CPUs: its convolutions with AVX-512 round differently, which
    moves boxes by up to 0.008 px and flips roundings of the crops.

    Args:
        cpuinfo: Contents of ``/proc/cpuinfo``.
    """
    return "golden" if "avx512f" in cpuinfo.split() else "golden_avx2"


def golden(setting: str) -> list[dict[str, Any]]:
    """PaddleX's results of a series on a CPU like this one, one per image."""
    folder = ROOT / golden_folder(Path("/proc/cpuinfo").read_text()) / setting
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def image(name: str) -> Path:
    """Path of an image."""
    return ROOT / "images" / name
