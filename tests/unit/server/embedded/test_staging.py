"""A server's directories: backends and model repository."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from tritonpose_pipeline.limits import Limits
from tritonpose_pipeline.repository import ModelRepository
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.embedded import resources, staging
from tritonpose_server.embedded.installation import TritonInstallation
from tritonpose_server.embedded.staging import (
    HPS,
    PIPELINE,
    HpsOptions,
    model_repositories,
    stage_backends,
    stage_pipeline,
)
from tritonpose_server.embedded.tuning import PipelineTuning
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.service.hps.handler import HpsSettings

STALE = """
name: "human_keypoint_detection"
backend: "python"
parameters { key: "detector" value { string_value: "stale" } }
parameters { key: "keypoint_model" value { string_value: "stale" } }
parameters { key: "threshold" value { string_value: "0.9" } }
parameters { key: "flip" value { string_value: "true" } }
parameters { key: "use_udp" value { string_value: "true" } }
parameters { key: "workers" value { string_value: "3" } }
"""


def triton(folder: Path) -> TritonInstallation:
    """An installation with the files of the Python backend, some of them links."""
    backend = folder / "triton" / "backend"
    backend.mkdir(parents=True)
    (folder / "library").write_text("library")
    (backend / "libtriton_python.so").symlink_to(folder / "library")
    (backend / "triton_python_backend_utils.py").write_text("utils")
    (backend / "other").write_text("other")
    stub = folder / "triton" / "triton_python_backend_stub"
    stub.write_text("stub")
    stub.chmod(0o755)
    return TritonInstallation(folder / "binary", folder / "libraries", backend, stub)


def make_model(folder: Path, name: str) -> Path:
    directory = folder / "store" / name
    directory.mkdir(parents=True)
    (directory / "config.pbtxt").write_text(
        f'name: "{name}" parameters {{ key: "role" value {{ string_value: "detector" }} }}'
    )
    return directory


def parameters(repository: Path, model: str = PIPELINE) -> dict[str, str]:
    text = (repository / model / "config.pbtxt").read_text()
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    return {key: value.string_value for key, value in config.parameters.items()}


# --- backends ---


def test_python_backend_is_copied(tmp_path: Path) -> None:
    target = tmp_path / "target"
    stage_backends(triton(tmp_path), target)
    python = target / "python"
    assert {path.name: path.read_text() for path in python.iterdir()} == {
        "libtriton_python.so": "library",
        "triton_python_backend_utils.py": "utils",
        "triton_python_backend_stub": "stub",
    }
    assert not any(path.is_symlink() for path in python.iterdir())
    assert (python / "triton_python_backend_stub").stat().st_mode & 0o111


def test_backends_of_this_project(tmp_path: Path) -> None:
    stage_backends(triton(tmp_path), tmp_path / "target")
    for name in ("openvino", "onnxruntime"):
        source = resources.backends() / name / "model.py"
        assert (tmp_path / "target" / name / "model.py").read_text() == source.read_text()
    assert len(list((tmp_path / "target").iterdir())) == 3


def test_only_backends_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = tmp_path / "ours"
    for name in ("engine/model.py", "engine/__pycache__/model.pyc", "notes/readme"):
        (ours / name).parent.mkdir(parents=True)
        (ours / name).write_text("")
    monkeypatch.setattr(staging.resources, "backends", lambda: ours)
    target = tmp_path / "target"
    stage_backends(triton(tmp_path), target)
    found = sorted(str(path.relative_to(target)) for path in target.rglob("*"))
    assert [path for path in found if not path.startswith("python")] == [
        "engine",
        "engine/model.py",
    ]


# --- model repository ---


def test_repository(tmp_path: Path) -> None:
    models = [make_model(tmp_path, name) for name in ("det", "kpt", "spare")]
    target = tmp_path / "models"
    stage_pipeline(target, models, PipelineSettings("det", "kpt"))
    assert {path.name for path in target.iterdir()} == {PIPELINE, HPS}
    for model in (PIPELINE, HPS):
        code = target / model / "1"
        assert code.resolve() == resources.model_repository() / model / "1"
        assert (code / "model.py").exists()
    written = parameters(target)
    assert (written["detector"], written["keypoint_model"]) == ("det", "kpt")
    assert json.loads(written["model_repositories"]) == [str(tmp_path / "store")]
    assert written["workers"] == "AUTO"


def test_models_in_several_places(tmp_path: Path) -> None:
    models = [make_model(tmp_path / "one", "det"), make_model(tmp_path / "two", "kpt")]
    stage_pipeline(tmp_path / "models", models, PipelineSettings("det", "kpt"))
    found = parameters(tmp_path / "models")["model_repositories"]
    repository = ModelRepository(*map(Path, json.loads(found)))
    assert repository.names("detector") == ["det", "kpt"]


@pytest.mark.parametrize("served", [True, False])
def test_name_that_is_not_unique(tmp_path: Path, served: bool) -> None:
    """Whether or not both are to be served: Triton sees all that lies in the folders."""
    models = [make_model(tmp_path / "one", "det"), make_model(tmp_path / "two", "kpt")]
    other = make_model(tmp_path / "two", "det")
    if served:
        models.append(other)
    with pytest.raises(
        EmbeddedServerError, match="model 'det' is in several of the folders"
    ) as caught:
        stage_pipeline(tmp_path / "models", models, PipelineSettings("det", "kpt"))
    for place in ("one", "two"):
        assert str(tmp_path / place / "store") in str(caught.value)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ([], []),
        (["/a/one", "/a/two"], ["/a"]),
        (["/b/one", "/a/two", "/b/three"], ["/b", "/a"]),
        (["models/one"], ["HERE/models"]),
    ],
)
def test_model_repositories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: list[str], expected: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = model_repositories(map(Path, models))
    assert [str(path).replace(str(tmp_path), "HERE") for path in found] == expected


def test_the_rest_of_the_configuration_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "models"
    stage_pipeline(target, [make_model(tmp_path, "a")], PipelineSettings("a", "a"))
    for name in (PIPELINE, HPS):
        configs = []
        for path in (target, resources.model_repository()):
            text = (path / name / "config.pbtxt").read_text()
            configs.append(text_format.Parse(text, model_config_pb2.ModelConfig()))
            configs[-1].ClearField("parameters")
        assert configs[0] == configs[1]
        assert configs[0].input


@pytest.mark.parametrize(
    "settings",
    [
        PipelineSettings("det", "kpt"),
        PipelineSettings("det", "kpt", threshold=0.0, use_udp=False),
        PipelineSettings("kpt", "det", threshold=0.123456789, flip=True, use_udp=True),
    ],
)
def test_settings_as_the_pipeline_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: PipelineSettings
) -> None:
    """Whatever the source's configuration says, and no trace of it where nothing is chosen."""
    source = tmp_path / "source" / PIPELINE
    source.mkdir(parents=True)
    (source / "config.pbtxt").write_text(STALE)
    shutil.copytree(resources.model_repository() / HPS, source.parent / HPS)
    monkeypatch.setattr(staging.resources, "model_repository", lambda: source.parent)
    models = [make_model(tmp_path, name) for name in ("det", "kpt")]
    stage_pipeline(tmp_path / "models", models, settings)
    written = parameters(tmp_path / "models")
    assert written["workers"] == "3"
    assert PipelineSettings.from_parameters(written) == settings


@pytest.mark.parametrize(
    ("visualize", "tuning", "in_flight"),
    [(True, PipelineTuning(), 128), (False, PipelineTuning(5, 3, 9, 2), 9)],
)
def test_settings_as_the_service_contract_reads_them(
    tmp_path: Path, visualize: bool, tuning: PipelineTuning, in_flight: int
) -> None:
    target, settings = tmp_path / "models", PipelineSettings("det", "det")
    stage_pipeline(target, [make_model(tmp_path, "det")], settings, tuning, HpsOptions(visualize))
    limits = Limits.from_parameters(parameters(target))
    assert limits.max_in_flight == in_flight
    if tuning.workers is not None:
        assert (limits.workers, limits.threads) == (5, 3)
    hps = HpsSettings.from_parameters(parameters(target, HPS))
    assert hps == HpsSettings(visualize, max_in_flight=in_flight)


@pytest.mark.parametrize(
    ("detector", "keypoint", "served", "words"),
    [
        ("nobody", "kpt", ["kpt", "det"], "'nobody' is to be used by default .* det, kpt$"),
        ("det", "nobody", ["kpt", "det"], "'nobody' is to be used by default .* det, kpt$"),
        ("det", "kpt", [], "'det' is to be used by default .* none$"),
    ],
)
def test_defaults_that_are_not_served(
    tmp_path: Path, detector: str, keypoint: str, served: list[str], words: str
) -> None:
    models = [make_model(tmp_path, name) for name in served]
    with pytest.raises(EmbeddedServerError, match=words):
        stage_pipeline(tmp_path / "models", models, PipelineSettings(detector, keypoint))
    assert not (tmp_path / "models").exists()
