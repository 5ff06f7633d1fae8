"""Decides which models a pipeline configuration means, and makes them servable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tritonpose.config import ModuleConfig, PipelineConfig
from tritonpose_conversion.inference_yml import Role
from tritonpose_conversion.open_leaf import install_open_models
from tritonpose_conversion.open_models import (
    DEFAULT_DETECTOR,
    DEFAULT_KEYPOINT_MODEL,
    OPEN_MODELS,
    PACKAGE,
)
from tritonpose_conversion.paddle_model import install_paddle_model
from tritonpose_conversion.store import LeafStore, cache_home
from tritonpose_server.errors import ServerError
from tritonpose_server.staging import PipelineSettings

Progress = Callable[[str], None]

_STAND_INS: dict[Role, str] = {"detector": DEFAULT_DETECTOR, "keypoint": DEFAULT_KEYPOINT_MODEL}

# PaddleX's own models, whose weights come with a `model_dir`.
_PADDLEX_MODELS = frozenset(
    {"PP-YOLOE-S_human", "PP-YOLOE-L_human", "PP-TinyPose_128x96", "PP-TinyPose_256x192"}
)


@dataclass(frozen=True)
class ModelChoice:
    """What a server is to serve.

    Attributes:
        leaves: Leaf directories.
        settings: The pipeline's defaults.
    """

    leaves: tuple[Path, ...]
    settings: PipelineSettings


def choose_models(config: PipelineConfig, progress: Progress) -> ModelChoice:
    """Make the models of a configuration servable and say which they are.

    A module with a ``model_dir`` is converted from there. Where none is given, an open model
    stands in under its own name.

    Args:
        config: The pipeline's configuration.
        progress: Called with lines for the user; the choice made is among them.

    Raises:
        ConversionError: A model can't be converted.
        FetchError: The open models can't be fetched.
        ServerError: A model name is unknown.
    """
    if config.detector.img_size is not None:
        raise ServerError(
            "ObjectDetection.img_size is not supported: the detector runs at the size it was "
            "exported with; set it to null"
        )
    modules: dict[Role, ModuleConfig] = {"detector": config.detector, "keypoint": config.keypoint}
    home = cache_home()
    store = LeafStore(home / "leaves")
    open_names = {
        role: _open_model_name(module.model_name, role)
        for role, module in modules.items()
        if module.model_dir is None
    }
    # Together, for they come in one package.
    install_open_models(list(open_names.values()), home / "downloads", store, progress)
    leaves = []
    for role, module in modules.items():
        if module.model_dir is None:
            leaf = store.path(open_names[role])
            progress(f"{role} model: {_describe_open(leaf.name, module.model_name)}")
        else:
            leaf = install_paddle_model(module.model_dir, role, store, model_name=module.model_name)
            progress(f"{role} model: {leaf.name} (from {module.model_dir})")
        leaves.append(leaf)
    detector, keypoint = leaves
    return ModelChoice(
        leaves=(detector, keypoint),
        settings=PipelineSettings(
            detector=detector.name,
            keypoint_model=keypoint.name,
            threshold=config.detector.threshold,
            flip=bool(config.keypoint.flip),
            use_udp=config.keypoint.use_udp,
        ),
    )


def _describe_open(name: str, requested: str | None) -> str:
    description = f"{name} ({OPEN_MODELS[name].licence}, from npm package {PACKAGE})"
    return description if requested in (None, name) else f"{description}, in place of {requested}"


def _open_model_name(requested: str | None, role: Role) -> str:
    if requested is None or requested in _PADDLEX_MODELS:
        return _STAND_INS[role]
    model = OPEN_MODELS.get(requested)
    if model is None or (model.detection is not None) != (role == "detector"):
        raise ServerError(
            f"no {role} model {requested!r} is known; give its directory as `model_dir`, or use "
            f"one of {', '.join(sorted({*OPEN_MODELS, *_PADDLEX_MODELS}))}"
        )
    return requested
