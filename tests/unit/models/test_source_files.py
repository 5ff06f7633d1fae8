"""Which files of a directory are a model: PaddleX's names and PaddleDetection's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.paddle.files import find_files

PROGRAM = '{"program": {}}'


def put(directory: Path, *names: str) -> Path:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PROGRAM if path.suffix == ".json" else name)
    return directory


@pytest.mark.parametrize(
    ("names", "yml", "network"),
    [
        (["inference.yml", "inference.onnx"], "inference.yml", ["inference.onnx"]),
        (["infer_cfg.yml", "model.onnx"], "infer_cfg.yml", ["model.onnx"]),
        (["inference.yml", "best.onnx"], "inference.yml", ["best.onnx"]),
        (["infer_cfg.yml", "inference.onnx", "b.onnx"], "infer_cfg.yml", ["inference.onnx"]),
        *(
            (
                [yml, f"{stem}{suffix}", f"{stem}.pdiparams", f"{stem}.pdiparams.info"],
                yml,
                [f"{stem}{suffix}", f"{stem}.pdiparams"],
            )
            for yml in ("inference.yml", "infer_cfg.yml")
            for stem in ("inference", "model")
            for suffix in (".json", ".pdmodel")
        ),
        # The newer form.
        (
            ["infer_cfg.yml", "model.pdmodel", "model.json", "model.pdiparams"],
            "infer_cfg.yml",
            ["model.json", "model.pdiparams"],
        ),
    ],
)
def test_names(tmp_path: Path, names: list[str], yml: str, network: list[str]) -> None:
    found = find_files(put(tmp_path, *names))
    assert found.yml == tmp_path / yml
    assert [path.name for path in found.paddle or [found.onnx] if path] == network
    assert found.notes == ()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "expected inference.yml and either inference.json"),
        (["best.pdparams", "best.pdopt"], "checkpoint of the training (.pdparams)"),
        (["best.pdparams", "inference/inference.yml"], "name the exported one in it, "),
        (["__model__", "__params__"], "in the form of Paddle 1"),
        (["model.json", "weights.bin"], "holds no model"),
        (["model.pdmodel"], "model.pdmodel without its weights: model.pdiparams is missing"),
        (["model.pdiparams"], "model.pdiparams without the network: model.json (or, from Paddle 2"),
        (["a.onnx", "b.onnx"], "holds 2 ONNX files (a.onnx, b.onnx): name the one"),
    ],
)
def test_directories_without_one_model(tmp_path: Path, names: list[str], words: str) -> None:
    with pytest.raises(ConversionError) as caught:
        find_files(put(tmp_path, *names))
    assert words in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_choices_are_reported(tmp_path: Path) -> None:
    """Of Paddle and ONNX side by side, and of two descriptions."""
    put(tmp_path, "inference.yml", "infer_cfg.yml", "inference.onnx")
    put(tmp_path, "inference.json", "inference.pdiparams")
    found = find_files(tmp_path)
    assert found.yml.name == "inference.yml"
    assert found.onnx == tmp_path / "inference.onnx"
    assert [path.name for path in found.paddle or ()] == ["inference.json", "inference.pdiparams"]
    two, beside = found.notes
    assert two.startswith("using inference.yml, and not infer_cfg.yml beside it")
    assert beside.startswith(
        "using inference.onnx, which needs no conversion, and not inference.js"
    )
    assert f"`{tmp_path / 'inference.json'}` as the model's path" in beside
    # A description twice is no choice, and a damaged network is not what is served.
    (tmp_path / "infer_cfg.yml").write_text("inference.yml")
    (tmp_path / "inference.pdiparams").write_text("")
    (broken,) = find_files(tmp_path).notes
    assert "inference.pdiparams is empty" in broken


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("inference.onnx", ["inference.onnx"]),
        ("inference.json", ["inference.json", "inference.pdiparams"]),
        ("inference.pdiparams", ["inference.json", "inference.pdiparams"]),
    ],
)
def test_a_file_says_which_one_is_meant(tmp_path: Path, name: str, network: list[str]) -> None:
    put(tmp_path, "inference.yml", "inference.onnx", "inference.json", "inference.pdiparams")
    found = find_files(tmp_path / name)
    assert [path.name for path in found.paddle or [found.onnx] if path] == network
    assert (found.yml, found.notes) == (tmp_path / "inference.yml", ())


def test_what_is_no_model(tmp_path: Path) -> None:
    put(tmp_path, "photo.jpg", "empty.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.onnx")
    for name, words in (
        ("gone.onnx", "no such model directory or file"),
        ("photo.jpg", "is not a model: name its directory"),
        ("empty.onnx", "is empty"),
        ("pipe.onnx", "is no regular file"),
    ):
        with pytest.raises(ConversionError, match=words):
            find_files(tmp_path / name)
