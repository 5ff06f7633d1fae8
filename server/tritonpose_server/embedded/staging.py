"""Builds a server's directories: backends and model repository."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from google.protobuf import text_format

from tritonpose_pipeline.repository import CONFIG_FILE, read_config
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.embedded import resources
from tritonpose_server.embedded.installation import TritonInstallation
from tritonpose_server.embedded.tuning import PipelineTuning
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.service.urls.settings import URLS_OFF, UrlSettings

PIPELINE = "human_keypoint_detection"

HPS = "human-keypoint-detection"
"""The pipeline under the contract of PaddleX's high-stability serving."""


@dataclass(frozen=True)
class HpsOptions:
    """How the HPS model handles images: Triton's model of the contract of PaddleX's service.

    ``visualize`` is whether a request that does not choose gets a picture.
    """

    visualize: bool = True
    urls: UrlSettings = URLS_OFF


def stage_backends(triton: TritonInstallation, target: Path) -> None:
    """Make a backend directory: Triton's Python backend and ours on top of it."""
    python = target / "python"
    python.mkdir(parents=True)
    for name in ("libtriton_python.so", "triton_python_backend_utils.py"):
        # Copies: Triton refuses a backend that is a link out of its directory.
        shutil.copy2(triton.python_backend / name, python)
    shutil.copy2(triton.python_stub, python)
    for backend in resources.backends().iterdir():
        if (backend / "model.py").exists():
            shutil.copytree(
                backend, target / backend.name, ignore=shutil.ignore_patterns("__pycache__")
            )


def stage_pipeline(
    target: Path,
    models: Sequence[Path],
    settings: PipelineSettings,
    tuning: PipelineTuning = PipelineTuning(),  # noqa: B008 - frozen
    hps: HpsOptions = HpsOptions(),
) -> None:
    """Make a model repository with the pipeline models, their defaults filled in.

    The models, directories named like them, stay where they are: the directories they lie in are
    model repositories, too. What ``tuning`` leaves open stays as it is. Raises EmbeddedServerError
    if a default names a model that is not among the models, or a model's name is not unique.
    """
    directories = {model.name: model for model in models}
    for name in (settings.detector, settings.keypoint_model):
        if name not in directories:
            raise EmbeddedServerError(
                f"model {name!r} is to be used by default but is not among those served: "
                f"{', '.join(sorted(directories)) or 'none'}"
            )
    repositories = model_repositories(models)
    for name in directories:
        places = [str(root.resolve()) for root in repositories if (root / name).exists()]
        if len(places) > 1:
            raise EmbeddedServerError(
                f"model {name!r} is in several of the folders that are served: "
                f"{', '.join(places)}; remove all but one"
            )
    # A setting without a value has no parameter, whatever the model's own configuration has.
    parameters = settings.to_parameters()
    parameters["model_repositories"] = json.dumps([str(root) for root in repositories])
    hps_parameters = {"visualize": str(hps.visualize).lower(), **hps.urls.parameters()}
    chosen = {key: str(value) for key, value in asdict(tuning).items() if value is not None}
    chosen.pop("instances", None)
    parameters |= chosen
    hps_parameters |= {key: chosen[key] for key in chosen.keys() & {"max_in_flight"}}
    _stage_model(target, PIPELINE, parameters, tuning.instances)
    _stage_model(target, HPS, hps_parameters)


def link_repositories(models: Sequence[Path], target: Path) -> list[Path]:
    """Link the directories that models lie in; return the models' places there, in their order.

    Triton and its Python processes so get paths without blanks, quotes or letters of any language,
    whatever those of the user have.
    """
    target.mkdir()
    links = {}
    for number, repository in enumerate(model_repositories(models)):
        links[repository] = target / str(number)
        links[repository].symlink_to(repository)
    return [links[model.absolute().parent] / model.name for model in models]


def _stage_model(
    target: Path, name: str, parameters: Mapping[str, str | None], instances: int | None = None
) -> None:
    """Put one of the project's models into a repository, with some parameters set or removed.

    It gets a number of instances, None for that of its configuration.
    """
    source = resources.model_repository() / name
    directory = target / name
    directory.mkdir(parents=True)
    (directory / "1").symlink_to(source / "1")
    config = read_config(source / CONFIG_FILE)
    for key, value in parameters.items():
        config.parameters.pop(key, None)
        if value is not None:
            config.parameters[key].string_value = value
    if instances is not None:
        for group in config.instance_group:
            group.count = instances
    (directory / CONFIG_FILE).write_text(text_format.MessageToString(config), "utf-8")


def model_repositories(models: Iterable[Path]) -> list[Path]:
    """List the directories that models lie in, each once."""
    return list(dict.fromkeys(model.absolute().parent for model in models))
