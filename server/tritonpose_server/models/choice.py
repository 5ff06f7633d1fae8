"""Decides which models a pipeline configuration means, and makes them servable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tritonpose.config import DetectorConfig, ModuleConfig, PipelineConfig
from tritonpose_server.embedded.model_view import read_config
from tritonpose_server.embedded.staging import PipelineSettings
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models import commands as manage
from tritonpose_server.models.errors import ConversionError, FetchError
from tritonpose_server.models.fetch.progress_bar import StreamProgress
from tritonpose_server.models.open_models.catalog import (
    DEFAULT_DETECTOR,
    DEFAULT_KEYPOINT_MODEL,
    OPEN_MODELS,
)
from tritonpose_server.models.open_models.install import install_open_models
from tritonpose_server.models.paddle.inference_yml import Role
from tritonpose_server.models.paddle.model import install_paddle_model
from tritonpose_server.models.store import ModelStore, cache_home

Progress = Callable[[str], None]

# Of PaddleX's own pipeline file.
_DEFAULTS: dict[Role, str] = {"detector": "PP-YOLOE-S_human", "keypoint": "PP-TinyPose_128x96"}
_STAND_INS: dict[Role, str] = {"detector": DEFAULT_DETECTOR, "keypoint": DEFAULT_KEYPOINT_MODEL}


@dataclass(frozen=True)
class ModelChoice:
    """What a server is to serve.

    Attributes:
        models: Model directories.
        settings: The pipeline's defaults.
    """

    models: tuple[Path, ...]
    settings: PipelineSettings

    @property
    def threshold(self) -> float:
        """The detector score threshold of requests that name none."""
        if self.settings.threshold is not None:
            return self.settings.threshold
        (detector,) = (model for model in self.models if model.name == self.settings.detector)
        return float(read_config(detector).parameters["threshold"].string_value)


def choose_models(config: PipelineConfig, progress: Progress) -> ModelChoice:
    """Make the models of a configuration servable and say which they are.

    A module with a ``model_dir`` is converted from there. A name is looked for among the installed
    models, then fetched. Where PaddleX's models can't be had, an open model stands in under its
    own name.

    Args:
        config: The pipeline's configuration.
        progress: Called with lines for the user; the choice made is among them.

    Raises:
        ConversionError: A model can't be converted, or its name is unknown.
        FetchError: Neither the models nor the open ones can be fetched.
        EmbeddedServerError: A setting is not supported.
    """
    if config.detector.img_size is not None and config.detector.model_dir is None:
        raise EmbeddedServerError(
            "ObjectDetection.img_size needs a model_dir: an installed model keeps the size that it "
            "was installed with"
        )
    store = manage.default_store()
    modules: dict[Role, ModuleConfig] = {"detector": config.detector, "keypoint": config.keypoint}
    names = {
        role: _find_name(module.model_name or _DEFAULTS[role], role, store, progress)
        for role, module in modules.items()
        if module.model_dir is None
    }
    # Together, for they come in one package.
    open_names = [name for name in names.values() if name in OPEN_MODELS]
    install_open_models(open_names, cache_home() / "downloads", store, progress)
    detector, keypoint = (
        _installed_model(names[role], role, store, progress)
        if role in names
        else _convert(module, role, store, progress)
        for role, module in modules.items()
    )
    return ModelChoice(
        models=(detector, keypoint),
        settings=PipelineSettings(
            detector=detector.name,
            keypoint_model=keypoint.name,
            threshold=config.detector.threshold,
            flip=bool(config.keypoint.flip),
            use_udp=config.keypoint.use_udp,
            visualize=config.visualize is not False,
        ),
    )


def _find_name(name: str, role: Role, store: ModelStore, progress: Progress) -> str:
    """The model to serve for a name: itself, or what stands in where it can't be had."""
    known = {entry.name: entry for entry in manage.list_models(store, digests=False)}
    if name not in known:
        raise ConversionError(
            f"no model {name!r} is installed or known; give its directory as `model_dir`, or one "
            f"of {', '.join(sorted(known))}"
        )
    if known[name].role != role:
        raise ConversionError(f"{name!r} is a {known[name].role} model, not a {role} model")
    if known[name].installed or name in OPEN_MODELS:
        return name
    stand_in = _STAND_INS[role]
    # Asked once: where the stand-in is there, PaddleX's models could not be had before.
    if store.provenance(stand_in) is None:
        progress(f"looking for {name} where PaddleX publishes it")
        try:
            manage.install(name, store, _BarsOnly(), manage.default_lock())
        except FetchError:
            progress(f"{name} can't be fetched from here: an open model stands in")
        else:
            return name
    return stand_in


class _BarsOnly(StreamProgress):
    """Shows downloads, but not each place that has nothing."""

    def line(self, text: str) -> None:
        """Do nothing."""


def _convert(module: ModuleConfig, role: Role, store: ModelStore, progress: Progress) -> Path:
    if module.model_dir is None:
        raise EmbeddedServerError(f"the {role} model has no directory")
    model = install_paddle_model(
        module.model_dir,
        role,
        store,
        model_name=module.model_name,
        img_size=module.img_size if isinstance(module, DetectorConfig) else None,
        progress=progress,
    )
    progress(f"{role} model: {model.name} (from {module.model_dir})")
    return model


def _installed_model(name: str, role: Role, store: ModelStore, progress: Progress) -> Path:
    origin = (
        f"open model, {OPEN_MODELS[name].licence}"
        if name in OPEN_MODELS
        else f"from {(store.provenance(name) or {}).get('source')}"
    )
    progress(f"{role} model: {name} ({origin})")
    return store.path(name)
