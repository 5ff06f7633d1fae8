"""Decides which models a pipeline configuration means, and makes them servable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tritonpose.config import DetectorConfig, ModuleConfig, PipelineConfig
from tritonpose_pipeline.repository import CONFIG_FILE, DetectorModel
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_pipeline.thresholds import UNLISTED
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models.catalog import (
    KNOWN_MODELS,
    OPEN_MODELS,
    PADDLEX_DEFAULTS,
    PADDLEX_MODELS,
    STAND_INS,
    Role,
)
from tritonpose_server.models.commands import (
    default_lock,
    default_store,
    install,
    installed_entry,
)
from tritonpose_server.models.directories import locked_directory
from tritonpose_server.models.errors import ConversionError, FetchError, HomeError
from tritonpose_server.models.fetch.sources import answering_sources
from tritonpose_server.models.home import require_trusted, writable_directory
from tritonpose_server.models.open_models.install import install_open_models
from tritonpose_server.models.own_models import install_own_model
from tritonpose_server.models.pipeline_settings import make_settings
from tritonpose_server.models.precision import stale_facts
from tritonpose_server.models.store import (
    CONVERTER_VERSION,
    ModelStore,
    Progress,
    installed_config,
    is_reserved,
)


@dataclass(frozen=True)
class Installers:
    """Functions that put models into the store, and where to look for PaddleX's models."""

    by_name: Callable[..., Path] = install
    open_models: Callable[..., None] = install_open_models
    directory: Callable[..., Path] = install_own_model
    sources: Callable[[], object] = answering_sources


_INSTALLERS = Installers()


@dataclass(frozen=True)
class ModelChoice:
    """The models and settings for a server.

    Attributes:
        models: Model directories.
        settings: The pipeline's settings.
        visualize: Whether answers of PaddleX's service contract have a picture, where a request
            doesn't say.
        stand_ins: Name of the open model that is served, by the name of PaddleX's model that the
            configuration names and that can't be fetched.
    """

    models: tuple[Path, ...]
    settings: PipelineSettings
    visualize: bool = True
    stand_ins: Mapping[str, str] = field(default_factory=dict)

    @property
    def threshold(self) -> float:
        """Detector score threshold of requests that name none; of several, the lowest."""
        chosen = self.settings.threshold
        if isinstance(chosen, Mapping):
            return min(chosen.values(), default=UNLISTED)
        if chosen is not None:
            return chosen
        (detector,) = (model for model in self.models if model.name == self.settings.detector)
        return DetectorModel.from_config(
            detector.name, installed_config(detector / CONFIG_FILE)
        ).threshold


def choose_models(
    config: PipelineConfig,
    progress: Progress,
    *,
    strict: bool = False,
    installers: Installers = _INSTALLERS,
) -> ModelChoice:
    """Make the models of a configuration servable and report which they are.

    A module with a ``model_dir`` is converted from there. A name is looked for among the installed
    models, then fetched. Where one of PaddleX's models can't be fetched, an open model stands in
    under its own name; the next call looks for PaddleX's model again. Of processes that do this at
    once, one converts and the others wait.

    Args:
        config: The pipeline's configuration.
        progress: Called with lines for the user; the choice made is among them.
        strict: Whether a model that can't be fetched is an error instead.
        installers: How models get into the store.

    Raises:
        ConversionError: A model can't be converted, or its name is unknown.
        FetchError: Neither the models nor the open ones can be fetched; with ``strict`` also where
            an open model would stand in.
        EmbeddedServerError: A setting is not supported.
    """
    if config.detector.img_size is not None and config.detector.model_dir is None:
        raise EmbeddedServerError(
            "ObjectDetection.img_size needs a model_dir: an installed model keeps the size that it "
            "was installed with"
        )
    store = default_store()
    require_trusted(store.root)
    for reserved in filter(is_reserved, store.names()):
        raise ConversionError(
            f"a model is installed under the pipeline's own name, with which no server starts: "
            f"`tritonpose models remove {reserved}`"
        )
    root = store.root if store.root.is_dir() else writable_directory(store.root)
    modules: dict[Role, ModuleConfig] = {"detector": config.detector, "keypoint": config.keypoint}
    with locked_directory(root, progress):
        names = {
            role: _check_name(module.model_name or PADDLEX_DEFAULTS[role], role, store)
            for role, module in modules.items()
            if module.model_dir is None
        }
        stand_ins = _install_or_stand_in(names, store, progress, installers, strict=strict)
        names = {role: stand_ins.get(name, name) for role, name in names.items()}
        # Together, for they come in one package.
        installers.open_models(list(names.values()), store, progress)
        detector, keypoint = (
            _installed_model(names[role], role, store, progress)
            if role in names
            else _convert(module, role, store, progress, installers)
            for role, module in modules.items()
        )
    return ModelChoice(
        models=(detector, keypoint),
        settings=make_settings(config, detector, keypoint),
        visualize=config.visualize is not False,
        stand_ins=stand_ins,
    )


def local_stand_ins(store: ModelStore) -> dict[str, str]:
    """Find the installed open model by the name of each model of PaddleX that is not installed.

    Those stand in here unless PaddleX's models can be fetched; nothing is asked of the network.
    """
    installed = set(store.names())
    return {
        name: STAND_INS[model.role]
        for name, model in PADDLEX_MODELS.items()
        if STAND_INS[model.role] in installed and name not in installed
    }


def _check_name(name: str, role: Role, store: ModelStore) -> str:
    """Check that a name is that of a model for this role, and return it."""
    installed = store.names()
    if name in installed:
        found = installed_entry(store, name, digest=False).role
    elif name in KNOWN_MODELS:
        found = KNOWN_MODELS[name].role
    else:
        raise ConversionError(
            f"no model {name!r} is installed or known; give its directory as `model_dir`, or one "
            f"of {', '.join(sorted({*installed, *KNOWN_MODELS}))}"
        )
    if found != role:
        raise ConversionError(f"{name!r} is a {found} model, not a {role} model")
    return name


def _is_missing_or_outdated(name: str, store: ModelStore) -> bool:
    """Whether one of PaddleX's models is to be converted, perhaps again by this version.

    Models of the user's own are left as they are: what they were made from may be gone.
    """
    provenance = store.provenance(name)
    if provenance is None:
        return True
    version = provenance.get("converter_version")
    return name in PADDLEX_MODELS and isinstance(version, int) and version < CONVERTER_VERSION


def _install_or_stand_in(
    names: Mapping[Role, str],
    store: ModelStore,
    progress: Progress,
    installers: Installers,
    *,
    strict: bool,
) -> dict[str, str]:
    """Install PaddleX's models where they are missing.

    Returned is the open model that stands in, by the name of each model that can't be fetched.
    """
    missing = {
        role: name
        for role, name in names.items()
        if name not in OPEN_MODELS and _is_missing_or_outdated(name, store)
    }
    if not missing:
        return {}
    try:
        # Before anything is asked for: an open model could not be put there, either.
        writable_directory(store.root)
    except HomeError as error:
        if strict:
            raise
        return _installed_stand_ins(missing, store, progress, error)
    progress(f"looking for {' and '.join(missing.values())} where PaddleX publishes them")
    sources = installers.sources()

    def try_install(name: str) -> FetchError | None:
        try:
            installers.by_name(name, store, progress, default_lock(), sources=sources)
        except FetchError as error:
            return error
        return None

    stand_ins: dict[str, str] = {}
    for role, name in missing.items():
        failure = try_install(name)
        if failure is not None and store.provenance(name) is not None:
            progress(f"{name}: keeping what an earlier version of tritonpose converted ({failure})")
            continue
        if failure is not None and strict:
            raise FetchError(f"{failure}\nNo open model stands in: --strict_models") from failure
        if failure is not None:
            stand_ins[name] = STAND_INS[role]
            progress(f"{stand_ins[name]} stands in for {name}, which can't be fetched from here")
    return stand_ins


def _installed_stand_ins(
    missing: Mapping[Role, str], store: ModelStore, progress: Progress, error: HomeError
) -> dict[str, str]:
    """Do with what is installed in a store that can't be written, or raise its error."""
    stand_ins = {
        name: STAND_INS[role] for role, name in missing.items() if store.provenance(name) is None
    }
    if any(store.provenance(stand_in) is None for stand_in in stand_ins.values()):
        raise error
    for name, stand_in in stand_ins.items():
        progress(f"{stand_in} stands in for {name}, which can't be put into {store.root}")
    return stand_ins


def _convert(
    module: ModuleConfig,
    role: Role,
    store: ModelStore,
    progress: Progress,
    installers: Installers,
) -> Path:
    if module.model_dir is None:
        raise EmbeddedServerError(f"the {role} model has no directory")
    model = installers.directory(
        module.model_dir,
        role,
        store,
        model_name=module.model_name,
        img_size=module.img_size if isinstance(module, DetectorConfig) else None,
        classes=module.classes if isinstance(module, DetectorConfig) else None,
        progress=progress,
    )
    progress(f"{role} model: {model.name} (from {module.model_dir})")
    return model


def _installed_model(name: str, role: Role, store: ModelStore, progress: Progress) -> Path:
    origin = (
        f"open model, {OPEN_MODELS[name].license}"
        if name in OPEN_MODELS
        else f"from {(store.provenance(name) or {}).get('source')}"
    )
    progress(f"{role} model: {name} ({origin})")
    for warning in stale_facts(name, store):
        progress(f"warning: {warning}")
    return store.path(name)
