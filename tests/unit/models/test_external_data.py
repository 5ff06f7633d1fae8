"""Weights beside an ONNX file: they belong to it, and lie nowhere else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from paddle_networks import inference_yml, keypoint_network, write_model_directory
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph.external_data import external_files
from tritonpose_server.models.graph.onnx_graph import load_graph, load_model
from tritonpose_server.models.paddle.install import install_paddle_model
from tritonpose_server.models.store import ModelStore


def put(folder: Path, location: str = "w.data", factor: float = 1.0, split: bool = False) -> Path:
    """A model directory whose weights lie beside the ONNX file."""
    write_model_directory(folder, None, inference_yml("keypoint", 32, 24))
    network = keypoint_network(32, 24)
    for tensor in network.graph.initializer:
        values = numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(values * values.dtype.type(factor), tensor.name))
    (folder / "inference.onnx").unlink(missing_ok=True)
    onnx.save(
        network,
        folder / "inference.onnx",
        save_as_external_data=True,
        all_tensors_to_one_file=not split,
        location=None if split else location,
        size_threshold=0,
    )
    return folder


def relocate(folder: Path, location: str, **entries: int) -> None:
    """Write another place, and perhaps offset and length, into the ONNX file."""
    network = load_graph(folder / "inference.onnx")
    (tensor,) = network.graph.initializer
    del tensor.external_data[:]
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    onnx.save(network, folder / "inference.onnx")


@pytest.mark.parametrize("split", [False, True])
def test_other_weights_are_another_model(tmp_path: Path, store: ModelStore, split: bool) -> None:
    source = put(tmp_path / "source", split=split)
    graph = (source / "inference.onnx").read_bytes()
    first = install_paddle_model(source, "keypoint", store)
    assert install_paddle_model(source, "keypoint", store) == first
    (data,) = external_files(load_graph(source / "inference.onnx"), source)
    times = data.stat()
    changed = put(tmp_path / "changed", factor=1.5, split=split)
    shutil.copy(changed / data.name, data)
    # Neither size nor date show it.
    os.utime(data, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (source / "inference.onnx").read_bytes() == graph
    second = install_paddle_model(source, "keypoint", store)
    assert second != first
    served = {
        name: max(abs(numpy_helper.to_array(t)).max() for t in model.graph.initializer)
        for name, model in ((m.name, onnx.load(m / "1" / "model.onnx")) for m in (first, second))
    }
    assert served[first.name] != served[second.name]


def test_a_model_is_loaded_whole(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    folder = put(tmp_path, location="sub/w.data")
    model = load_model(folder / "inference.onnx")
    (weights,) = model.graph.initializer
    expected = keypoint_network(32, 24).graph.initializer[0]
    np.testing.assert_array_equal(numpy_helper.to_array(weights), numpy_helper.to_array(expected))
    # Nothing refers to the file any more.
    onnx.load_model_from_string(model.SerializeToString())
    assert not weights.external_data


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("../w.data", "outside of its own directory"),
        ("sub/../../w.data", "outside of its own directory"),
        ("/etc/passwd", "outside of its own directory"),
        ("", "outside of its own directory"),
        ("link.data", "link.data is a link"),
        ("linked/w.data", "linked is a link"),
        ("gone.data", "can't be read"),
        ("pipe", "is no regular file"),
        ("directory", "is no regular file"),
    ],
)
def test_places_that_are_not_read(
    tmp_path: Path, store: ModelStore, location: str, words: str
) -> None:
    source = put(tmp_path / "source")
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(source / "w.data", outside)
    shutil.copy(source / "w.data", tmp_path)
    (source / "link.data").symlink_to(outside / "w.data")
    (source / "linked").symlink_to(outside)
    (source / "directory").mkdir()
    os.mkfifo(source / "pipe")
    relocate(source, location)
    with pytest.raises(ConversionError, match=words):
        install_paddle_model(source, "keypoint", store)
    assert store.names() == []


@pytest.mark.parametrize(
    "entries",
    [{"offset": 1 << 20}, {"offset": 4}, {"length": 1 << 20}, {"offset": -4}, {"length": -1}],
)
def test_parts_that_a_file_does_not_have(tmp_path: Path, entries: dict[str, int]) -> None:
    folder = put(tmp_path)
    relocate(folder, "w.data", **entries)
    words = r"cut short or of another model|does not say properly|is too small for the declared"
    with pytest.raises(ConversionError, match=words):
        load_model(folder / "inference.onnx")


def test_weights_of_more_than_a_model_can_have(tmp_path: Path) -> None:
    folder = put(tmp_path)
    relocate(folder, "w.data", length=1 << 31)
    with (folder / "w.data").open("r+b") as file:
        file.truncate(1 << 31)
    with pytest.raises(ConversionError, match="have more than the 2047 MB that a model can have"):
        load_model(folder / "inference.onnx")
