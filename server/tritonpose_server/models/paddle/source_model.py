"""Models as they were before conversion, run to compare with what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from tritonpose_server.models.graph import onnx_graph
from tritonpose_server.models.paddle.reference import run_paddle

FloatArray = npt.NDArray[np.float32]
Arrays = list[npt.NDArray[Any]]


class SourceModel(Protocol):
    """A model that is converted."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def run(self, images: Sequence[FloatArray]) -> list[Arrays]:
        """Run it on images one by one, detectors with ``scale_factor`` 1.

        Args:
            images: Normalised float32 ``[1, 3, h, w]`` each.

        Returns:
            Its outputs for each image.

        Raises:
            ConversionError: It does not run.
        """


class OnnxSource:
    """A model's unconverted ONNX graph."""

    name = "the unconverted ONNX model"

    def __init__(self, model: onnx.ModelProto) -> None:
        """Load it with ONNX Runtime."""
        self._inputs = _input_names(model)
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )

    def run(self, images: Sequence[FloatArray]) -> list[Arrays]:
        """See `SourceModel`."""
        return [list(self._session.run(None, _feeds(self._inputs, image))) for image in images]


class PaddleSource:
    """A Paddle model, run by Paddle."""

    name = "Paddle"

    def __init__(self, directory: Path, model: onnx.ModelProto) -> None:
        """Name the model's directory and its ONNX form, which has inputs of the same names."""
        self._directory = directory
        self._inputs = _input_names(model)

    def run(self, images: Sequence[FloatArray]) -> list[Arrays]:
        """See `SourceModel`."""
        return run_paddle(self._directory, [_feeds(self._inputs, image) for image in images])


def _input_names(model: onnx.ModelProto) -> dict[str, int]:
    """Rank of each input by its name."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return {
        tensor.name: len(onnx_graph.tensor_shape(tensor))
        for tensor in model.graph.input
        if tensor.name not in constants
    }


def _feeds(inputs: dict[str, int], image: FloatArray) -> dict[str, FloatArray]:
    factor = np.ones((1, 2), np.float32)
    return {name: image if rank == 4 else factor for name, rank in inputs.items()}
