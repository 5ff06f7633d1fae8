"""The open models: their table, fetching and building."""

import re

import numpy as np
import pytest

from npm_fakes import install_npm, sha256, write_tarball
from tfjs_graphs import node, placeholder, write_model
from tritonpose_server.models.open_models import catalog as open_models
from tritonpose_server.models.open_models import npm_client
from tritonpose_server.models.open_models.catalog import (
    DEFAULT_DETECTOR,
    DEFAULT_KEYPOINT_MODEL,
    OPEN_MODELS,
    OpenModel,
    Preprocess,
    build_open_model,
    fetch_open_models,
)
from tritonpose_server.models.open_models.npm_package import FetchError, Member, NpmPackage


def test_defaults_are_of_their_kind():
    assert OPEN_MODELS[DEFAULT_DETECTOR].detection is not None
    assert OPEN_MODELS[DEFAULT_KEYPOINT_MODEL].detection is None
    assert {"MoveNet-Lightning_256x192"} < set(OPEN_MODELS)


@pytest.mark.parametrize("model", OPEN_MODELS.values(), ids=lambda model: model.name)
def test_table(model):
    assert OPEN_MODELS[model.name] is model
    assert model.licence == "Apache-2.0"
    assert model.weights.path == model.topology.path.replace(".json", ".bin")
    for member in (model.topology, model.weights):
        assert re.fullmatch("[0-9a-f]{64}", member.sha256)


def test_no_two_models_share_files():
    hashes = [m.sha256 for model in OPEN_MODELS.values() for m in (model.topology, model.weights)]
    assert len(set(hashes)) == len(hashes)


def built(graph_model):
    """Stands for a model's builder: shows what it was given."""
    return sorted(graph_model.weights)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Two models, ``one`` and ``two``, in a package that a stand-in for npm fetches.

    Returns the log to which npm adds a line for each package.
    """
    members = {}
    contents = [("package/other.bin", b"other")]
    for name in ("one", "two"):
        source = tmp_path / f"source-{name}"
        source.mkdir()
        weights = {f"weight of {name}": np.ones(3, np.float32)}
        path = write_model(source, [placeholder("x", 1), node("y", "Relu", "x")], weights)
        topology = path.read_bytes().replace(b"model.bin", f"{name}.bin".encode())
        data = path.with_suffix(".bin").read_bytes()
        contents += [(f"package/m/{name}.json", topology), (f"package/m/{name}.bin", data)]
        members[name] = (sha256(topology), sha256(data))
    tarball = write_tarball(tmp_path / "package.tgz", contents)
    models = {
        name: OpenModel(
            name=name,
            upstream="",
            licence="",
            topology=Member(f"package/m/{name}.json", topology),
            weights=Member(f"package/m/{name}.bin", data),
            size=(1, 1),
            preprocess=Preprocess((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "RGB"),
            detection=None,
            build=built,
        )
        for name, (topology, data) in members.items()
    }
    monkeypatch.setattr(open_models, "OPEN_MODELS", models)
    monkeypatch.setattr(
        open_models, "PACKAGE", NpmPackage("pinned", "1.0.0", sha256(tarball.read_bytes()))
    )
    log = tmp_path / "log"
    install_npm(
        tmp_path / "bin",
        f"open({str(log)!r}, 'a').write(sys.argv[-1] + '\\n')\n"
        f"shutil.copy({str(tarball)!r}, 'pinned-1.0.0.tgz')",
    )
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(npm_client, "_GLOBAL_CONFIGS", ())
    return log


def files(directory):
    return sorted(path.name for path in directory.iterdir())


def test_fetch_and_build(tmp_path, package):
    lines = []
    fetch_open_models(tmp_path / "models", ["two", "one", "two"], lines.append)
    assert files(tmp_path / "models") == ["one.bin", "one.json", "two.bin", "two.json"]
    assert package.read_text() == "pinned@1.0.0\n"
    assert len(lines) >= 2
    assert build_open_model("one", tmp_path / "models") == ["weight of one"]
    assert build_open_model("two", tmp_path / "models") == ["weight of two"]


def test_only_what_is_asked_for_is_kept(tmp_path, package):
    fetch_open_models(tmp_path / "models", ["one"], lambda _: None)
    assert files(tmp_path / "models") == ["one.bin", "one.json"]
    assert package.exists()


def test_what_is_there_is_not_fetched_again(tmp_path, package):
    fetch_open_models(tmp_path / "models", ["one"], lambda _: None)
    lines = []
    fetch_open_models(tmp_path / "models", ["one"], lines.append)
    assert package.read_text() == "pinned@1.0.0\n"
    assert lines == []


def test_damaged_files_are_replaced(tmp_path, package):
    directory = tmp_path / "models"
    fetch_open_models(directory, ["one", "two"], lambda _: None)
    (directory / "one.bin").write_bytes(b"damaged")
    (directory / "two.json").unlink()
    for name in ("one", "two"):
        with pytest.raises(FetchError, match="missing or damaged"):
            build_open_model(name, directory)
    fetch_open_models(directory, ["one", "two"], lambda _: None)
    assert package.read_text() == "pinned@1.0.0\n" * 2
    assert build_open_model("one", directory) == ["weight of one"]
    assert build_open_model("two", directory) == ["weight of two"]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    "use",
    [
        lambda directory: fetch_open_models(directory, ["one", "three"], lambda _: None),
        lambda directory: build_open_model("three", directory),
    ],
)
def test_unknown_models(tmp_path, use):
    with pytest.raises(ValueError, match="no open model 'three'; there are one, two"):
        use(tmp_path / "models")
    assert not (tmp_path / "models").exists()
