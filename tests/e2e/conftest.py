"""One real server for all end-to-end tests, with every model there is on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import reference_data
from rest_service import rest_service
from tools.sample_photo import sample_photo
from tools.soak.service import Addresses
from tritonpose import KeypointResult
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.embedded.options import ServerOptions
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.models.catalog import DEFAULT_DETECTOR, DEFAULT_KEYPOINT_MODEL
from tritonpose_server.models.directories import locked_directory
from tritonpose_server.models.home import cache_home, compiled_directory, writable_directory
from tritonpose_server.models.open_models.install import install_open_models
from tritonpose_server.models.paddle.install import install_paddle_model
from tritonpose_server.models.store import ModelStore
from twins import predict_all, url_of

# They take longest, and would leave the other processes with nothing to do if they came last.
FIRST = (
    "test_model_repository.py",
    "test_benchmark.py",
    "test_code_blocks.py",
    "test_supervision.py",
    "test_evaluate.py",
    "test_soak.py",
    "test_batch_job.py",
    "test_fine_tuned_model.py",
    "test_server_lifecycle.py",
    "test_serve_command.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    places = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path.name, len(FIRST)))


@pytest.fixture(scope="session")
def store() -> ModelStore:
    """The user's own store: what is converted once serves later test runs, too."""
    return ModelStore(cache_home() / "models")


@pytest.fixture(scope="session")
def installed_open_models(store: ModelStore) -> list[Path]:
    """Model directories of the open models: detector, keypoint model."""
    names = [DEFAULT_DETECTOR, DEFAULT_KEYPOINT_MODEL]
    # As `choose_models` does: a model that another process serves already is not replaced.
    with locked_directory(writable_directory(store.root)):
        install_open_models(names, store, print)
    return [store.path(name) for name in names]


@pytest.fixture(scope="session")
def installed_paddle_models(store: ModelStore) -> dict[str, Path]:
    """Model directories of the reference models by their folder's name; empty without them."""
    with locked_directory(writable_directory(store.root)):
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
        [*installed_open_models, *installed_paddle_models.values()],
        settings,
        ServerOptions(compiled=compiled_directory()),
    ) as running:
        yield running


@pytest.fixture(scope="session")
def embed(installed_open_models: list[Path]) -> Callable[..., EmbeddedServer]:
    """Make a server of the open models, not yet started; the arguments are its options."""
    settings = PipelineSettings(*(model.name for model in installed_open_models))
    return lambda **options: EmbeddedServer(
        installed_open_models,
        settings,
        ServerOptions(**{"compiled": compiled_directory(), **options}),
    )


@pytest.fixture(scope="session")
def expected(server: EmbeddedServer, photo: Path) -> KeypointResult:
    """What the Python client finds in the photo."""
    return predict_all(False, photo, url=server.grpc_url)[0]


@pytest.fixture(scope="session")
def addresses(server: EmbeddedServer) -> Iterator[Addresses]:
    """All endpoints of the server, with a REST service in front of it."""
    with rest_service(server.grpc_url) as root:
        yield Addresses(f"{root}human-keypoint-detection", server.grpc_url, server.http_url)


@pytest.fixture(params=["grpc", "http"])
def url(request: pytest.FixtureRequest, server: EmbeddedServer) -> str:
    """Address of the server, over each transport."""
    return url_of(server, request.param)


@pytest.fixture(scope="session")
def photo() -> Path:
    """A photo with two people, head to feet."""
    return sample_photo(print)
