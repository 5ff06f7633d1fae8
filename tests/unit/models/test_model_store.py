"""The cache of converted models."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import onnx
import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig

from paddle_networks import keypoint_network
from tritonpose_server.models.directories import replaced_directory
from tritonpose_server.models.errors import ConversionError, HomeError
from tritonpose_server.models.store import ModelFiles, ModelStore, config_path, digest_files


def files(text: str) -> ModelFiles:
    return ModelFiles(
        model=keypoint_network(), config=ModelConfig(name=text), provenance={"source": text, "n": 1}
    )


def listing(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


WHOLE = ["a", "a/1", "a/1/model.onnx", "a/config.pbtxt", "a/provenance.json"]


# --- models ---


def test_add(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "deep" / "store")
    assert store.provenance("a") is None
    assert store.add("a", files("first")) == store.path("a") == tmp_path / "deep" / "store" / "a"
    assert listing(store.root) == WHOLE
    assert onnx.load(store.path("a") / "1" / "model.onnx") == keypoint_network()
    assert (store.path("a") / "config.pbtxt").read_text() == 'name: "first"\n'
    assert store.provenance("a") == {"source": "first", "n": 1}
    assert store.provenance("b") is None
    content = ModelFiles(keypoint_network(), ModelConfig(), {}, {"gpu": ModelConfig(name="x")})
    further = config_path(store.add("b", content), "gpu")
    assert further == store.path("b") / "configs" / "gpu.pbtxt"
    assert further.read_text() == 'name: "x"\n'


def test_add_replaces_as_a_whole(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    store.add("a", files("first"))
    (store.path("a") / "stale").write_text("")
    store.add("a", files("second"))
    assert listing(tmp_path) == WHOLE
    assert store.provenance("a") == {"source": "second", "n": 1}
    # Other users may read it.
    assert stat.S_IMODE(store.path("a").stat().st_mode) == 0o755


@pytest.mark.parametrize("earlier", [True, False])
def test_add_that_fails(tmp_path: Path, earlier: bool) -> None:
    store = ModelStore(tmp_path)
    if earlier:
        store.add("a", files("first"))
    broken = ModelFiles(keypoint_network(), ModelConfig(), {"not for json": object()})
    with pytest.raises(TypeError):
        store.add("a", broken)
    assert listing(tmp_path) == (WHOLE if earlier else [])
    if earlier:
        assert (store.path("a") / "config.pbtxt").read_text() == 'name: "first"\n'


def test_remove(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    for name in ("b", "a"):
        store.add(name, files(name))
    assert store.names() == ["a", "b"]
    store.remove("b")
    assert listing(tmp_path) == WHOLE
    for name in ("b", ".a", "../a"):
        with pytest.raises(ConversionError):
            store.remove(name)


def test_remove_after_a_removal_that_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ModelStore(tmp_path)

    def be_killed(_path: Path) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        store.add("a", files("first"))
        with monkeypatch.context() as patch:
            patch.setattr("tritonpose_server.models.store.shutil.rmtree", be_killed)
            with pytest.raises(KeyboardInterrupt):
                store.remove("a")
        assert store.names() == []
    leftovers = list(tmp_path.iterdir())
    assert len(leftovers) == 2
    os.utime(leftovers[0], (0, 0))
    store.add("a", files("first"))
    # Another process may be at work in the one that is new.
    assert sorted(tmp_path.iterdir()) == sorted([leftovers[1], store.path("a")])


# --- directories ---


def test_replaced_directory_is_beside_its_target(tmp_path: Path) -> None:
    target = tmp_path / "parent" / "target"
    with replaced_directory(target) as staging:
        assert staging.parent == target.parent
        assert list(staging.iterdir()) == []
        (staging / "file").write_text("new")
        assert not target.exists()
    assert listing(tmp_path) == ["parent", "parent/target", "parent/target/file"]


def fill_and_fail(target: Path, error: type[BaseException]) -> None:
    with replaced_directory(target) as staging:
        (staging / "file").write_text("new")
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_replaced_directory_after_a_failure(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "file").write_text("old")
    with pytest.raises(error):
        fill_and_fail(target, error)
    assert (target / "file").read_text() == "old"
    assert listing(tmp_path) == ["target", "target/file"]


# --- digests ---


def test_digest_files(tmp_path: Path) -> None:
    """Order and the places where files end count."""

    def digest(*contents: bytes) -> str:
        paths = [tmp_path / str(index) for index in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        return digest_files(*paths)

    parts = hashlib.sha256(b"1").digest() + hashlib.sha256(b"2").digest()
    assert digest(b"1", b"2") == hashlib.sha256(parts).hexdigest()
    others = [(b"2", b"1"), (b"12", b""), (b"", b"12"), (b"1", b"2")]
    assert len({digest(*contents) for contents in others}) == 4


# --- names ---


@pytest.mark.parametrize(
    "name",
    [
        "human_keypoint_detection",
        "human-keypoint-detection",
        "Human_Keypoint-Detection",
        "HUMAN-KEYPOINT-DETECTION",
    ],
)
def test_names_of_the_pipeline_are_reserved(tmp_path: Path, name: str) -> None:
    store = ModelStore(tmp_path / "store")
    with pytest.raises(ConversionError, match="is the name of the pipeline itself"):
        store.add(name, files("first"))
    assert not store.root.exists()
    # What an earlier version installed can be removed.
    store.add("other", files("first"))
    store.path("other").rename(store.path(name))
    store.remove(name)
    assert store.names() == []


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", ".x", "a b", "ä", "x\n", "x" * 129])
def test_names_that_triton_or_file_systems_can_not_take(tmp_path: Path, name: str) -> None:
    store = ModelStore(tmp_path / "store")
    with pytest.raises(ConversionError, match="can't be a model name"):
        store.add(name, files("first"))
    with pytest.raises(ConversionError, match=r"no model .* is installed"):
        store.require(name)


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_damaged_provenance(tmp_path: Path, content: str) -> None:
    store = ModelStore(tmp_path / "store")
    store.add("a", files("first"))
    (store.path("a") / "provenance.json").write_text(content)
    with pytest.raises(HomeError, match=r"provenance\.json is damaged: remove"):
        store.provenance("a")
