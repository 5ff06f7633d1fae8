"""An embedded server with all models that are to be evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from tools.evaluation.variant import Variant
from tritonpose.config import ModuleConfig, PipelineConfig
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.models.choice import choose_models
from tritonpose_server.models.store import Progress

Module = TypeVar("Module", bound=ModuleConfig)


@contextmanager
def serve_variants(
    config: PipelineConfig, variants: Sequence[Variant], progress: Progress
) -> Iterator[tuple[str, list[Variant]]]:
    """Serve the models of some variants of a pipeline, for as long as the context lasts.

    Args:
        config: The pipeline; variants change its models.
        variants: Name a model as `choose_models` knows it, or a model's directory.
        progress: Called with lines for the user.

    Yields:
        The server's URL, and the variants with the names the server has for their models.

    Raises:
        ConversionError: A model can't be converted.
        FetchError: The open models can't be fetched.
        EmbeddedServerError: A model name is unknown, or the server does not start.
    """
    told: set[str] = set()

    def tell_once(line: str) -> None:
        if line not in told:
            told.add(line)
            progress(line)

    choices = [choose_models(with_models(config, variant), tell_once) for variant in variants]
    served = [
        replace(
            variant,
            detector=choice.settings.detector,
            keypoint_model=choice.settings.keypoint_model,
        )
        for variant, choice in zip(variants, choices, strict=True)
    ]
    models = dict.fromkeys(model for choice in choices for model in choice.models)
    progress("starting Triton")
    with EmbeddedServer(list(models), choices[0].settings) as server:
        yield server.grpc_url, served


def with_models(config: PipelineConfig, variant: Variant) -> PipelineConfig:
    """The pipeline with a variant's models in place of its own."""
    return PipelineConfig(
        _with_model(config.detector, variant.detector),
        _with_model(config.keypoint, variant.keypoint_model),
    )


def _with_model(module: Module, wanted: str | None) -> Module:
    # By its name the pipeline's own model is meant, which may come from a directory.
    if wanted is None or wanted == module.model_name:
        return module
    directory = Path(wanted)
    if directory.is_dir():
        return replace(module, model_name=None, model_dir=directory.absolute())
    return replace(module, model_name=wanted, model_dir=None)
