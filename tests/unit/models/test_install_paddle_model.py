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
from tritonpose_server.models.paddle.install import install_paddle_model
from tritonpose_server.models.paddle.model import PaddleModel
from tritonpose_server.models.store import ModelStore

Cases = Sequence[Mapping[str, np.ndarray]]


class Workshop:
    """Opens models whose Paddle is a stand-in.

    Attributes:
        behavior: What Paddle does: it ``fails``, is ``right`` or ``wrong``.
        exports: Directories that were exported.
    """

    def __init__(self) -> None:
        self.behavior = "right"
        self.exports: list[Path] = []

    def open(self, directory: Path) -> PaddleModel:
        workshop = self

        class Model(PaddleModel):
            def _export_paddle(self, progress: Callable[[str], None]) -> onnx.ModelProto:
                workshop.exports.append(directory)
                progress("exporting")
                return keypoint_network(32, 24)

            def _run_paddle(self, cases: Cases) -> list[list[Any]]:
                if workshop.behavior == "fails":
                    raise ConversionError("Paddle can't run it")
                shift = 0.01 if workshop.behavior == "wrong" else 0
                return [
                    [(keypoint_reference(case["image"]) + shift).astype(np.float32)]
                    for case in cases
                ]

        return Model(directory, self)  # type: ignore[arg-type]

    pins = ""

    def find(self) -> Path:
        return Path("python")

    def install(self, store: ModelStore, directory: Path, **options: Any) -> Path:
        role = options.pop("role", "keypoint")
        return install_paddle_model(directory, role, store, open_model=self.open, **options)


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


def paddle_directory(folder: Path, *, with_onnx: bool = False) -> Path:
    network = keypoint_network(32, 24) if with_onnx else None
    write_model_directory(folder, network, inference_yml("keypoint", 32, 24))
    (folder / "inference.json").write_text('{"program": {}}')
    (folder / "inference.pdiparams").write_bytes(b"weights")
    return folder


@pytest.mark.parametrize("file", ["inference.json", "inference.pdiparams", "inference.yml"])
def test_each_file_counts(tmp_path: Path, store: ModelStore, workshop: Workshop, file: str) -> None:
    source = paddle_directory(tmp_path / "source")
    model = workshop.install(store, source)
    # The same files elsewhere are the same model.
    copy = shutil.copytree(source, tmp_path / "copy")
    assert workshop.install(store, copy) == model
    assert workshop.exports == [source]
    with (copy / file).open("a") as content:
        content.write("\n")
    other = workshop.install(store, copy)
    assert other != model
    assert workshop.exports == [source, copy]


@pytest.mark.parametrize(
    ("behavior", "with_onnx", "words"),
    [
        *(
            ("wrong", x, r"would not be the same .* up to 0\.01, on 4 images")
            for x in (False, True)
        ),
        # Without Paddle nothing would confirm the export.
        ("fails", False, "Paddle can't run it"),
    ],
)
def test_models_that_are_not_installed(
    tmp_path: Path,
    store: ModelStore,
    workshop: Workshop,
    behavior: str,
    with_onnx: bool,
    words: str,
) -> None:
    workshop.behavior = behavior
    source = paddle_directory(tmp_path / "source", with_onnx=with_onnx)
    with pytest.raises(ConversionError, match=words):
        workshop.install(store, source)
    assert store.names() == []


@pytest.mark.parametrize("problem", ["yml", "role"])
def test_mistakes_are_found_before_anything_is_exported(
    tmp_path: Path, store: ModelStore, workshop: Workshop, problem: str
) -> None:
    source = paddle_directory(tmp_path / "source")
    if problem == "yml":
        (source / "inference.yml").unlink()
    with pytest.raises(ConversionError):
        workshop.install(store, source, role="keypoint" if problem == "yml" else "detector")
    assert workshop.exports == []
