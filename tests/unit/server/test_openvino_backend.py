"""OpenVINO runs images one by one: alone on all cores, or side by side."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from quantizable_model import HEIGHT, WIDTH, install
from tritonpose_server.engines.config import EngineConfig
from tritonpose_server.engines.openvino import OpenVinoEngine
from tritonpose_server.models.store import ModelStore


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return install(ModelStore(tmp_path))


@pytest.fixture
def load(model: Path) -> Callable[..., list[Any]]:
    """Load the model with parameters; gives its streams."""

    def make(**parameters: str) -> list[Any]:
        text = (model / "config.pbtxt").read_text()
        config = text_format.Parse(text, model_config_pb2.ModelConfig())
        for key, value in parameters.items():
            config.parameters[key].string_value = value
        arguments = {
            "model_config": json_format.MessageToJson(config, preserving_proto_field_name=True),
            "model_repository": str(model),
            "model_version": "1",
        }
        return list(OpenVinoEngine()(EngineConfig.from_triton(arguments)))

    return make


def images(count: int, seed: int) -> np.ndarray:
    shape = (count, HEIGHT, WIDTH, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def run(stream: Any, *pieces: np.ndarray) -> np.ndarray:
    stream.load({"image": pieces})
    (heatmap,) = stream.run()
    return heatmap


@pytest.mark.parametrize("streams", ["1", "2"])
def test_batches_of_all_sizes_from_several_threads(
    load: Callable[..., list[Any]], model: Path, streams: str
) -> None:
    whole = openvino.Core().compile_model(
        model / "1" / "model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    made = load(NUM_STREAMS=streams)
    batches = [images(1 + seed % 5, seed) for seed in range(40)]
    expected = [whole(batch)["heatmap"] for batch in batches]

    def serve(number: int) -> list[np.ndarray]:
        own = range(number, len(batches), len(made))
        return [run(made[number], batches[index]) for index in own]

    with ThreadPoolExecutor(len(made)) as threads:
        answers = list(threads.map(serve, range(len(made))))
    for index, wanted in enumerate(expected):
        answer = answers[index % len(made)][index // len(made)]
        np.testing.assert_allclose(answer, wanted, atol=1e-4)


def test_the_pieces_of_a_batch_keep_their_order(load: Callable[..., list[Any]]) -> None:
    stream = load()[0]
    pieces = [images(2, 1), images(1, 2), images(3, 3)]
    together = run(stream, *pieces)
    alone = [
        run(stream, piece[index : index + 1]) for piece in pieces for index in range(len(piece))
    ]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-4)


def test_an_answer_outlives_the_next_batch(load: Callable[..., list[Any]]) -> None:
    stream = load()[0]
    first = run(stream, images(1, 1))
    before = first.copy()
    run(stream, images(1, 2))
    np.testing.assert_array_equal(first, before)
