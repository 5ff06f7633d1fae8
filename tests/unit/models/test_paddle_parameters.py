"""A Paddle model and an ONNX file side by side: a stale one is noticed."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from paddle_networks import inference_yml, keypoint_network, write_model_directory
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.paddle.install import install_paddle_model
from tritonpose_server.models.paddle.parameters import shared_weights
from tritonpose_server.models.store import ModelStore


def varint(value: int) -> bytes:
    low = value & 0x7F
    return bytes([low]) if value < 0x80 else bytes([low | 0x80]) + varint(value >> 7)


def tensor(values: np.ndarray) -> bytes:
    """A float32 tensor as Paddle writes it."""
    description = b"\x08\x05" + b"".join(b"\x10" + varint(side) for side in values.shape)
    head = struct.pack("<IQIi", 0, 0, 0, len(description))
    return head + description + values.astype(np.float32).tobytes()


def weights_of(network: onnx.ModelProto) -> list[np.ndarray]:
    arrays = [numpy_helper.to_array(item) for item in network.graph.initializer]
    return [array for array in arrays if array.dtype == np.float32]


def put(folder: Path, *weights: np.ndarray, network: onnx.ModelProto | None = None) -> Path:
    """An ONNX file beside a Paddle model that has these weights."""
    network = network or keypoint_network(32, 24)
    write_model_directory(folder, network, inference_yml("keypoint", 32, 24))
    (folder / "inference.json").write_text('{"program": {}}')
    content = b"".join(map(tensor, [np.ones((300, 2)), *weights]))
    (folder / "inference.pdiparams").write_bytes(content)
    return folder


@pytest.mark.parametrize("half", [False, True])
def test_the_same_weights(tmp_path: Path, half: bool) -> None:
    network = keypoint_network(32, 24)
    folder = put(tmp_path, *weights_of(network))
    if half:
        for item in network.graph.initializer:
            values = numpy_helper.to_array(item)
            item.CopyFrom(numpy_helper.from_array(values.astype(np.float16), item.name))
    assert shared_weights(network, folder / "inference.pdiparams") == 1.0


def test_files_in_another_form(tmp_path: Path) -> None:
    """Nothing is known of them, or they have no weights."""
    for content in (b"weights", b"", b"\xff" * 64, bytes(21), tensor(np.ones(9))[:-1]):
        (tmp_path / "x").write_bytes(content)
        assert shared_weights(keypoint_network(32, 24), tmp_path / "x") is None


def test_a_stale_one_is_not_served(tmp_path: Path, store: ModelStore) -> None:
    network = keypoint_network(32, 24)
    other = [array * 1.5 for array in weights_of(network)]
    # What normalization layers begin with is no sign.
    network.graph.initializer.append(numpy_helper.from_array(np.ones(600, np.float32), "ones"))
    folder = put(tmp_path, *other, np.ones(600), network=network)
    with pytest.raises(
        ConversionError, match="different weights: one of the two is stale"
    ) as caught:
        install_paddle_model(folder, None, store)
    for name in ("inference.onnx", "inference.json"):
        assert str(folder / name) in str(caught.value)
    # The path of one says which is meant; having been installed does not.
    assert install_paddle_model(folder / "inference.onnx", None, store).is_dir()
    with pytest.raises(ConversionError, match="different weights: one of the two is stale"):
        install_paddle_model(folder, None, store)


def test_what_is_used_is_reported(tmp_path: Path, store: ModelStore) -> None:
    network = keypoint_network(32, 24)
    lines: list[str] = []
    folder = put(tmp_path / "a", *weights_of(network))
    install_paddle_model(folder, None, store, progress=lines.append)
    assert lines[0].startswith(
        "using inference.onnx, which needs no conversion, and not inference."
    )
    assert not any("stale" in line for line in lines)

    more = np.arange(51, dtype=np.float32).reshape(17, 3, 1, 1)
    extra = numpy_helper.from_array(more, "extra")
    network.graph.initializer.append(extra)
    folder = put(tmp_path / "b", *weights_of(keypoint_network(32, 24)), network=network)
    install_paddle_model(folder, None, store, progress=lines.append)
    (warning,) = [line for line in lines if "stale" in line]
    assert warning.startswith(
        "warning: 50% of the weights in inference.onnx are not in inference.pd"
    )
