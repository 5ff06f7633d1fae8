"""What PaddleX is told, so that it runs the same pipeline with the same models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.errors import BenchmarkError
from tritonpose.config import PIPELINE_NAME, ModuleConfig, PipelineConfig
from tritonpose_server.models.open_models.catalog import OPEN_MODELS
from tritonpose_server.models.paddle.inference_yml import read_inference_yml


def paddlex_config(config: PipelineConfig) -> dict[str, Any]:
    """The content of a PaddleX pipeline file for a pipeline.

    Args:
        config: The pipeline; what it leaves open is left to PaddleX.

    Raises:
        BenchmarkError: It names a model that PaddleX does not know.
        ConversionError: A model's directory lacks its ``inference.yml``.
    """
    detector, keypoint = config.detector, config.keypoint
    detection: dict[str, Any] = {
        "module_name": "object_detection",
        **_model(detector, "PP-YOLOE-S_human"),
        "threshold": detector.threshold,
    }
    if detector.img_size is not None:
        # The key that its code reads, unlike `img_size`.
        detection["imgsz"] = list(detector.img_size)
    return {
        "pipeline_name": PIPELINE_NAME,
        "SubModules": {
            "ObjectDetection": detection,
            "KeypointDetection": {
                "module_name": "keypoint_detection",
                **_model(keypoint, "PP-TinyPose_128x96"),
                "flip": bool(keypoint.flip),
                "use_udp": keypoint.use_udp,
            },
        },
    }


def with_threads(content: dict[str, Any], threads: int) -> dict[str, Any]:
    """The same pipeline, computed with so many threads."""
    return {**content, "engine": "paddle_static", "engine_config": {"cpu_threads": threads}}


def check_same_models(config: PipelineConfig, models: Sequence[Path]) -> None:
    """Refuse to compare with PaddleX where open models stand in for its own.

    Args:
        config: The pipeline.
        models: What is served for it: detector, keypoint model.

    Raises:
        BenchmarkError: PaddleX can't run what is served.
    """
    for module, model in zip((config.detector, config.keypoint), models, strict=True):
        if module.model_dir is None and model.name in OPEN_MODELS:
            raise BenchmarkError(
                f"PaddleX can't run the open model {model.name}: to compare with PaddleX, name "
                "directories of Paddle models by --detector and --keypoint_model or in a "
                "--pipeline file"
            )


def _model(module: ModuleConfig, default: str) -> dict[str, Any]:
    """Name and directory of a model; PaddleX wants the name that the directory's model has."""
    name = module.model_name
    if name is None and module.model_dir is not None:
        name = read_inference_yml(module.model_dir / "inference.yml").model_name
    return {
        "model_name": name or default,
        "model_dir": None if module.model_dir is None else str(module.model_dir),
        "batch_size": module.batch_size or 1,
    }
