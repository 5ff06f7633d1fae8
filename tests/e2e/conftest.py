"""One real server for all end-to-end tests, with every model there is on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import reference_data
from tools.sample_photo import sample_photo
from tritonpose import HumanKeypointPipeline, create_pipeline
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.models.catalog import DEFAULT_DETECTOR, DEFAULT_KEYPOINT_MODEL
from tritonpose_server.models.open_models.install import install_open_models
from tritonpose_server.models.paddle.install import install_paddle_model
from tritonpose_server.models.store import ModelStore, cache_home


@pytest.fixture(scope="session")
def store() -> ModelStore:
    """The user's own store: what is converted once serves later test runs, too."""
    return ModelStore(cache_home() / "models")


@pytest.fixture(scope="session")
def installed_open_models(store: ModelStore) -> list[Path]:
    """Model directories of the open models: detector, keypoint model."""
    names = [DEFAULT_DETECTOR, DEFAULT_KEYPOINT_MODEL]
    install_open_models(names, store, print)
    return [store.path(name) for name in names]


@pytest.fixture(scope="session")
def installed_paddle_models(store: ModelStore) -> dict[str, Path]:
    """Model directories of the reference models by their folder's name; empty without them."""
    return {
        directory.name: install_paddle_model(directory, role, store)
        for directory, role in reference_data.paddle_models()
    }


@pytest.fixture(scope="session")
def server(
    installed_open_models: list[Path], installed_paddle_models: dict[str, Path]
) -> Iterator[EmbeddedServer]:
    """The server; its defaults are the open models."""
    detector, keypoint_model = installed_open_models
    settings = PipelineSettings(detector.name, keypoint_model.name)
    with EmbeddedServer(
        [*installed_open_models, *installed_paddle_models.values()], settings
    ) as running:
        yield running


@pytest.fixture(params=["grpc", "http"])
def pipeline(
    request: pytest.FixtureRequest, server: EmbeddedServer
) -> Iterator[HumanKeypointPipeline]:
    """The client, over each transport."""
    url = server.grpc_url if request.param == "grpc" else server.http_url
    with create_pipeline("human_keypoint_detection", url=url) as client:
        yield client


@pytest.fixture(scope="session")
def photo() -> Path:
    """A photo with two people, head to feet."""
    return sample_photo(print)


@pytest.fixture
def environment() -> dict[str, str]:
    """Environment for programs that tests start."""
    return {**os.environ, "PYTHONUNBUFFERED": "1"}
