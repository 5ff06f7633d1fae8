"""A model's own inputs and outputs against its configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tritonpose_server.engines.engine import (
    EngineConfig,
    EngineConfigError,
    TensorConfig,
    TensorSignature,
    check_signature,
)

Signatures = dict[str, TensorSignature]

IMAGE = TensorSignature(np.uint8, (None, 32, 48, 3))
BOXES = TensorSignature(np.float32, (None, 24, 4))
SCORES = TensorSignature(np.float32, (None, None))
INPUTS: Signatures = {"image": IMAGE}
OUTPUTS: Signatures = {"boxes": BOXES, "scores": SCORES}


def config(boxes: tuple[int, ...] = (24, 4), max_batch_size: int = 8) -> EngineConfig:
    return EngineConfig(
        name="model",
        path=Path("/models/model/1/model.onnx"),
        max_batch_size=max_batch_size,
        inputs=(TensorConfig("image", np.dtype(np.uint8), (32, 48, 3)),),
        outputs=(
            TensorConfig("boxes", np.dtype(np.float32), boxes),
            TensorConfig("scores", np.float32, (-1,)),
        ),
        parameters={},
    )


@pytest.mark.parametrize(
    ("boxes", "inputs", "outputs"),
    [
        ((24, 4), INPUTS, OUTPUTS),
        ((-1, 4), INPUTS, OUTPUTS),
        ((24, 4), INPUTS, {**OUTPUTS, "boxes": TensorSignature(np.float32, (None, None, 4))}),
        ((24, 4), INPUTS, {**OUTPUTS, "unused": TensorSignature(np.int64, (1,))}),
        ((24, 4), {"image": TensorSignature(np.uint8, (8, 32, 48, 3))}, OUTPUTS),
        ((24, 4), {"image": TensorSignature("uint8", (None, None, None, None))}, OUTPUTS),
    ],
)
def test_agreement(boxes: tuple[int, ...], inputs: Signatures, outputs: Signatures) -> None:
    check_signature(config(boxes), inputs, outputs)


@pytest.mark.parametrize(
    ("inputs", "outputs", "problem"),
    [
        ({}, OUTPUTS, "input 'image' is not in the model, which has none"),
        (
            {"image": TensorSignature(np.float32, IMAGE.shape)},
            OUTPUTS,
            "input 'image' is configured as uint8, the model has float32",
        ),
        (
            {"image": TensorSignature(np.uint8, (None, 48, 32, 3))},
            OUTPUTS,
            "input 'image' is configured with dims [32, 48, 3], the model has [48, 32, 3]",
        ),
        (
            {"image": TensorSignature(np.uint8, (1, 32, 48, 3))},
            OUTPUTS,
            "input 'image' has the fixed batch size 1, max_batch_size is 8",
        ),
        (
            {**INPUTS, "scale_factor": TensorSignature(np.float32, (None, 2))},
            OUTPUTS,
            "input 'scale_factor' of the model is not configured",
        ),
        (
            INPUTS,
            {"boxes": BOXES, "probabilities": SCORES},
            "output 'scores' is not in the model, which has boxes, probabilities",
        ),
        (
            INPUTS,
            {"boxes": BOXES, "scores": TensorSignature(np.float16, (None, None))},
            "output 'scores' is configured as float32, the model has float16",
        ),
        (
            INPUTS,
            {**OUTPUTS, "boxes": TensorSignature(np.float32, (None, None, 5))},
            "output 'boxes' is configured with dims [24, 4], the model has [-1, 5]",
        ),
        (
            INPUTS,
            {**OUTPUTS, "scores": TensorSignature(np.float32, (None, 1, 24))},
            "output 'scores' is configured with dims [-1], the model has [1, 24]",
        ),
    ],
)
def test_one_difference(inputs: Signatures, outputs: Signatures, problem: str) -> None:
    with pytest.raises(EngineConfigError) as caught:
        check_signature(config(), inputs, outputs)
    assert str(caught.value) == (f"model 'model': config.pbtxt and model.onnx disagree: {problem}")


def test_every_difference_is_listed() -> None:
    inputs = {
        "image": TensorSignature(np.float32, (1, 3, 32, 48)),
        "b": TensorSignature(np.float32, ()),
        "a": TensorSignature(np.float32, ()),
    }
    with pytest.raises(EngineConfigError) as caught:
        check_signature(config(), inputs, {})
    problems = str(caught.value).partition("disagree: ")[2].split("; ")
    assert [problem.split(" is ")[0].split(" has ")[0] for problem in problems] == [
        "input 'image'",
        "input 'image'",
        "output 'boxes'",
        "output 'scores'",
        "input 'a' of the model",
        "input 'b' of the model",
        "input 'image'",
    ]
