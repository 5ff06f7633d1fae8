"""Installing Paddle models: what is converted, and what models are compared with."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from paddle_networks import (
    inference_yml,
    keypoint_network,
    keypoint_reference,
    write_model_directory,
)
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.paddle import model as paddle_model
from tritonpose_server.models.paddle import source_model
from tritonpose_server.models.paddle.model import install_paddle_model
from tritonpose_server.models.paddle.reference import PaddleRunError
from tritonpose_server.models.store import ModelStore, digest_files

Paddle = Callable[[str], None]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Directories that were exported by a stand-in for paddle2onnx."""
    calls: list[Path] = []

    def export(directory: Path, target: Path, progress: Callable[[str], None]) -> None:
        calls.append(directory)
        progress("exporting")
        onnx.save(keypoint_network(32, 24), target)

    monkeypatch.setattr(paddle_model, "export_to_onnx", export)
    return calls


@pytest.fixture
def paddle(monkeypatch: pytest.MonkeyPatch) -> Paddle:
    """Sets up what Paddle does: it is ``absent``, ``fails``, is ``right`` or ``wrong``."""

    def use(behaviour: str) -> None:
        def run(_: Path, cases: Sequence[Mapping[str, np.ndarray]]) -> list[list[Any]]:
            if behaviour == "fails":
                raise PaddleRunError("Paddle can't run it")
            shift = 0.01 if behaviour == "wrong" else 0
            return [
                [(keypoint_reference(case["image"]) + shift).astype(np.float32)] for case in cases
            ]

        python = None if behaviour == "absent" else Path("python")
        monkeypatch.setattr(paddle_model, "find_environment", lambda: python)
        monkeypatch.setattr(source_model, "run_paddle", run)

    return use


def paddle_directory(
    folder: Path, *, program: str = "inference.json", with_onnx: bool = False, damaged: bool = False
) -> Path:
    network = keypoint_network(32, 24) if with_onnx else None
    write_model_directory(folder, network, inference_yml("keypoint", 32, 24))
    (folder / program).write_text("{" if damaged else '{"program": {}}')
    (folder / "inference.pdiparams").write_bytes(b"weights")
    return folder


def compared_with(store: ModelStore, model: Path) -> object:
    agreement = (store.provenance(model.name) or {})["agreement"]
    assert isinstance(agreement, dict)
    assert agreement["batches"] is True
    assert agreement["images"] == 4
    assert 0 <= agreement["heatmap"] < 1e-5
    return agreement["compared_with"]


@pytest.mark.parametrize("program", ["inference.json", "inference.pdmodel"])
def test_paddle_models_are_exported(
    tmp_path: Path, store: ModelStore, exports: list[Path], paddle: Paddle, program: str
) -> None:
    paddle("right")
    source = paddle_directory(tmp_path / "source", program=program)
    lines: list[str] = []
    model = install_paddle_model(source, "keypoint", store, progress=lines.append)
    assert exports == [source]
    assert compared_with(store, model) == "Paddle"
    assert lines[:2] == ["exporting", "comparing PP-TinyPose_32x24 with Paddle"]
    assert lines[2].startswith(f"{model.name}: heatmaps differ by up to")
    files = [source / name for name in (program, "inference.pdiparams", "inference.yml")]
    assert (store.provenance(model.name) or {})["source_sha256"] == digest_files(*files)


@pytest.mark.parametrize("file", ["inference.json", "inference.pdiparams", "inference.yml"])
def test_each_file_counts(
    tmp_path: Path, store: ModelStore, exports: list[Path], paddle: Paddle, file: str
) -> None:
    paddle("right")
    source = paddle_directory(tmp_path / "source")
    model = install_paddle_model(source, "keypoint", store)
    # The same files elsewhere are the same model.
    copy = shutil.copytree(source, tmp_path / "copy")
    assert install_paddle_model(copy, "keypoint", store) == model
    assert exports == [source]
    with (copy / file).open("a") as content:
        content.write("\n")
    other = install_paddle_model(copy, "keypoint", store)
    assert other != model
    assert exports == [source, copy]


@pytest.mark.parametrize(
    ("behaviour", "damaged", "expected"),
    [
        ("right", False, "Paddle"),
        ("absent", False, "the unconverted ONNX model"),
        ("fails", False, "the unconverted ONNX model"),
        ("wrong", True, "the unconverted ONNX model"),
    ],
)
def test_what_onnx_models_are_compared_with(
    tmp_path: Path,
    store: ModelStore,
    exports: list[Path],
    paddle: Paddle,
    behaviour: str,
    damaged: bool,
    expected: str,
) -> None:
    paddle(behaviour)
    source = paddle_directory(tmp_path / "source", with_onnx=True, damaged=damaged)
    lines: list[str] = []
    model = install_paddle_model(source, "keypoint", store, progress=lines.append)
    assert compared_with(store, model) == expected
    assert exports == []
    told = "Paddle can't run it; comparing with inference.onnx instead" in lines
    assert told is (behaviour == "fails")


@pytest.mark.parametrize("with_onnx", [False, True])
@pytest.mark.usefixtures("exports")
def test_models_that_differ_are_not_installed(
    tmp_path: Path, store: ModelStore, paddle: Paddle, with_onnx: bool
) -> None:
    paddle("wrong")
    source = paddle_directory(tmp_path / "source", with_onnx=with_onnx)
    with pytest.raises(ConversionError, match=r"would not be the same .* up to 0\.01, on 4 images"):
        install_paddle_model(source, "keypoint", store)
    assert not store.root.exists()


@pytest.mark.usefixtures("exports")
def test_paddle_that_does_not_run(tmp_path: Path, store: ModelStore, paddle: Paddle) -> None:
    """Without it nothing would confirm the export."""
    paddle("fails")
    source = paddle_directory(tmp_path / "source")
    with pytest.raises(PaddleRunError):
        install_paddle_model(source, "keypoint", store)
    assert not store.root.exists()


@pytest.mark.parametrize("problem", ["yml", "role"])
def test_mistakes_are_found_before_anything_is_exported(
    tmp_path: Path, store: ModelStore, exports: list[Path], problem: str
) -> None:
    source = paddle_directory(tmp_path / "source")
    if problem == "yml":
        (source / "inference.yml").unlink()
    with pytest.raises(ConversionError):
        install_paddle_model(source, "keypoint" if problem == "yml" else "detector", store)
    assert exports == []
