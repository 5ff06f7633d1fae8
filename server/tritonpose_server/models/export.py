"""Writes a model repository for any other Triton: in a container, in a cluster."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

from tritonpose_pipeline.repository import CONFIG_FILE, read_config
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.embedded.staging import stage_pipeline
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models.directories import replaced_directory
from tritonpose_server.models.store import config_path, installed_config
from tritonpose_server.models.triton_config import (
    ONNXRUNTIME,
    config_text,
    for_backend,
)

CPU_CONFIG = "onnxruntime_cpu"
"""Value of ``tritonserver --model-config-name`` for CPUs."""


def export_repository(target: Path, models: Sequence[Path], settings: PipelineSettings) -> None:
    """Write the pipeline's models and the models that it calls.

    Each model keeps its own configurations and gets one more, for ONNX Runtime on the CPU, which
    every tritonserver of NVIDIA's has; the pipeline models are the same everywhere. Models in
    ``target`` with one of the names are replaced, others left alone. A default that names none of
    the models is an `EmbeddedServerError`.
    """
    with tempfile.TemporaryDirectory() as temporary:
        stage_pipeline(Path(temporary) / "models", models, settings)
        for source in models:
            directory = _copy(source, target)
            config = installed_config(source / CONFIG_FILE)
            (directory / "configs").mkdir(exist_ok=True)
            path = config_path(directory, CPU_CONFIG)
            path.write_text(
                config_text(for_backend(config, ONNXRUNTIME, ModelInstanceGroup.KIND_CPU)), "utf-8"
            )
        for model in (Path(temporary) / "models").iterdir():
            path = _copy(model, target) / CONFIG_FILE
            config = read_config(path)
            # The models lie beside the pipeline now.
            config.parameters.pop("model_repositories", None)
            path.write_text(config_text(config), "utf-8")


def _copy(source: Path, target: Path) -> Path:
    """Put a copy of a model directory into a repository, in place of an earlier one."""
    directory = target / source.name
    try:
        # What is served is the old model or the new one, never a part.
        with replaced_directory(directory) as staging:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, staging, ignore=ignored, dirs_exist_ok=True)
    except OSError as error:
        raise EmbeddedServerError(
            f"can't write the model {source.name!r} to {target}: {error}"
        ) from error
    return directory
