"""Which keypoint models shift mirrored heatmaps, where the name does not say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from paddle_networks import Graph, inference_yml, keypoint_network, write_model_directory
from tritonpose_pipeline.repository import ModelRepository
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.paddle.install import install_paddle_model
from tritonpose_server.models.store import ModelStore


def lite_network() -> onnx.ModelProto:
    """With convolutions channel by channel, as Lite-HRNet has them."""
    graph = Graph()
    graph.input("image", "N", 3, 32, 24)
    weights = graph.constant("depthwise", np.ones((3, 1, 4, 4)) / 16, np.float32)
    graph.node("Conv", ["image", weights], "cells", group=3, strides=[4, 4])
    weights = graph.constant("weights", np.ones((17, 3, 1, 1)), np.float32)
    graph.node("Conv", ["cells", weights], "heatmap")
    graph.output("heatmap", "N", 17, 8, 6)
    return graph.model()


UNNAMED = {"Global": None}
GUESSED = "is not known by the model's name; taken is "


@pytest.mark.parametrize(
    ("lite", "yml", "options", "shift", "guess"),
    [
        (True, {}, {}, True, ""),
        (False, {"Global__model_name": "my-tinypose"}, {}, True, ""),
        (False, {"Global__model_name": "HRNet-W32"}, {"model_name": "PP-TinyPose_x"}, False, ""),
        # PaddleDetection's files have no name, and PaddleX's pipeline file has one.
        (False, UNNAMED, {"model_name": "PP-TinyPose_128x96"}, True, ""),
        (True, UNNAMED, {}, True, f"HRNet: whether mirrored .* {GUESSED}yes"),
        (False, UNNAMED, {}, False, f"{GUESSED}no, as the network is not of PP-TinyPose's kind"),
        (True, {"Global__model_name": "mine"}, {}, True, f"{GUESSED}yes.*`--flip_shift yes` or"),
        (True, UNNAMED, {"model_name": "mine"}, True, f"{GUESSED}yes"),
        (True, UNNAMED, {"flip_shift": False}, False, ""),
        (False, {}, {"flip_shift": False}, False, ""),
        (False, UNNAMED, {"flip_shift": True}, True, ""),
    ],
)
def test_shift(
    tmp_path: Path,
    store: ModelStore,
    lite: bool,
    yml: dict[str, Any],
    options: dict[str, Any],
    shift: bool,
    guess: str,
) -> None:
    network = lite_network() if lite else keypoint_network(32, 24)
    write_model_directory(tmp_path, network, inference_yml("keypoint", 32, 24, **yml))
    lines: list[str] = []
    model = install_paddle_model(tmp_path, None, store, progress=lines.append, **options)
    assert ModelRepository(store.root).keypoint_model(model.name).flip_shift is shift
    guesses = [line for line in lines if GUESSED in line]
    assert len(guesses) == bool(guess)
    assert all(re.search(guess, line) for line in guesses)


def test_options_of_the_other_kind_of_model(tmp_path: Path, store: ModelStore) -> None:
    write_model_directory(tmp_path, keypoint_network(32, 24), inference_yml("keypoint", 32, 24))
    with pytest.raises(ConversionError, match="only detectors have classes"):
        install_paddle_model(tmp_path, None, store, classes=("1",))
    write_model_directory(tmp_path, None, inference_yml("detector", 32, 24))
    with pytest.raises(ConversionError, match="a flip shift is of keypoint models"):
        install_paddle_model(tmp_path, None, store, flip_shift=True)
