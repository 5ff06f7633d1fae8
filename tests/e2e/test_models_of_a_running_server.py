"""Models come and go while the server runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tritonclient.http

from tritonpose import InvalidRequestError
from tritonpose.transport import Transport, connect
from tritonpose.transport.messages import InferRequest
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.embedded.options import ServerOptions
from tritonpose_server.embedded.server import EmbeddedServer
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models.catalog import DEFAULT_DETECTOR, DEFAULT_KEYPOINT_MODEL
from tritonpose_server.models.store import ModelStore

SETTINGS = PipelineSettings(DEFAULT_DETECTOR, DEFAULT_KEYPOINT_MODEL)


@pytest.fixture(scope="module")
def own_store(installed_open_models: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("store")
    for model in installed_open_models:
        shutil.copytree(model, directory / model.name)
    return directory


@pytest.fixture(scope="module")
def own_server(own_store: Path) -> Iterator[EmbeddedServer]:
    models = [own_store / name for name in (DEFAULT_DETECTOR, DEFAULT_KEYPOINT_MODEL)]
    options = ServerOptions(control_key="secret")
    with EmbeddedServer(models, SETTINGS, options) as server:
        yield server


@pytest.fixture
def transport(own_server: EmbeddedServer) -> Iterator[Transport]:
    with closing(connect(own_server.grpc_url)) as connection:
        yield connection


def install(source: Path, store: Path, name: str) -> None:
    """A copy of a model under another name, complete when it appears."""
    staging = store / f".{name}"
    shutil.copytree(source, staging)
    config = staging / "config.pbtxt"
    config.write_text(config.read_text().replace(f'name: "{source.name}"', f'name: "{name}"', 1))
    staging.rename(store / name)


def test_added_and_removed_under_load(
    own_server: EmbeddedServer,
    transport: Transport,
    own_store: Path,
    installed_open_models: list[Path],
    photo: Path,
) -> None:
    image = photo.read_bytes()
    expected = transport.infer(InferRequest(image=image))
    assert len(expected.boxes) == 2

    with ThreadPoolExecutor(4) as clients:
        load = [clients.submit(transport.infer, InferRequest(image=image)) for _ in range(60)]

        newcomer = InferRequest(image=image, detector="newcomer")
        with pytest.raises(InvalidRequestError, match="no detector model 'newcomer' is installed"):
            transport.infer(newcomer)
        install(installed_open_models[0], own_store, "newcomer")
        np.testing.assert_allclose(transport.infer(newcomer).boxes, expected.boxes, atol=0.01)

        shutil.rmtree(own_store / "newcomer")
        control = tritonclient.http.InferenceServerClient(own_server.http_url.split("//")[1])
        control.unload_model("newcomer", headers=own_server.control_headers)
        with pytest.raises(InvalidRequestError, match=r"installed: NanoDet_person_416$"):
            transport.infer(newcomer)

        answers = [request.result() for request in load]
    for answer in answers:
        np.testing.assert_allclose(answer.keypoints, expected.keypoints, atol=0.1)


def test_asked_for_by_many_at_once_before_it_is_loaded(
    transport: Transport, own_store: Path, installed_open_models: list[Path], photo: Path
) -> None:
    install(installed_open_models[1], own_store, "wanted")
    request = InferRequest(image=photo.read_bytes(), keypoint_model="wanted")
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(transport.infer, [request] * 16))
    assert [len(answer.boxes) for answer in answers] == [2] * 16


def test_a_name_that_is_not_unique(store: ModelStore, own_store: Path) -> None:
    models = [store.path(DEFAULT_DETECTOR), own_store / DEFAULT_KEYPOINT_MODEL]
    with pytest.raises(EmbeddedServerError, match="is in several of the folders that are served"):
        EmbeddedServer(models, SETTINGS).start()
