"""Models run by OpenVINO in this process, in FP32, as far as it goes: the limit of a server."""

from __future__ import annotations

import queue
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import openvino

Images = npt.NDArray[np.uint8]
Outputs = list[npt.NDArray[np.float32]]


class Model(Protocol):
    """Runs a model. Safe to use from several threads."""

    def run(self, images: Images) -> Outputs:
        """Run it on uint8 ``[B, h, w, 3]`` RGB images; its outputs are ``[B, ...]`` each."""
        ...


class DirectModel:
    """Runs images for the least time of one request: one on all cores, several side by side.

    Args:
        directory: The model's directory.
        outputs: Names of its outputs.
        cores: Threads.
    """

    def __init__(self, directory: Path, outputs: tuple[str, ...], cores: int) -> None:
        self._alone = SideBySideModel(directory, outputs, streams=1, threads=cores)
        self._together = SideBySideModel(directory, outputs, streams=cores, threads=cores)

    def run(self, images: Images) -> Outputs:
        """Run the model (see ``Model``)."""
        return (self._alone if len(images) == 1 else self._together).run(images)


class SideBySideModel:
    """Runs images one by one, on a graph of fixed shape, as many at a time as there are streams.

    Args:
        directory: The model's directory.
        outputs: Names of its outputs.
        streams: Images that run at the same time, of all batches together.
        threads: Threads of all streams together.
    """

    def __init__(
        self, directory: Path, outputs: tuple[str, ...], *, streams: int, threads: int
    ) -> None:
        compiled = _compile(directory, streams, threads)
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(streams):
            self._requests.put(compiled.create_infer_request())
        self._helpers = ThreadPoolExecutor(streams)
        self._outputs = outputs

    def run(self, images: Images) -> Outputs:
        """Run the model (see ``Model``)."""
        first, *others = images
        with_others = [self._helpers.submit(self._infer, image) for image in others]
        results = [self._infer(first), *(future.result() for future in with_others)]
        return [np.stack(output) for output in zip(*results, strict=True)]

    def _infer(self, image: Images) -> Outputs:
        request = self._requests.get()
        try:
            request.infer({"image": np.ascontiguousarray(image[None])}, share_inputs=True)
            # Copies: the next image overwrites them.
            return [request.get_tensor(name).data[0].copy() for name in self._outputs]
        finally:
            self._requests.put(request)


def _compile(directory: Path, streams: int, threads: int) -> openvino.CompiledModel:
    settings = {
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": threads,
        # OpenVINO picks bf16 by itself where the CPU has it, which changes results.
        "INFERENCE_PRECISION_HINT": "f32",
        # Two models share the cores: pinned threads would fight for the same ones.
        "ENABLE_CPU_PINNING": False,
    }
    core = openvino.Core()
    model = core.read_model(directory / "1" / "model.onnx")
    # Of a fixed shape a graph runs up to twice as fast.
    model.reshape([1, *list(model.inputs[0].partial_shape)[1:]])
    return core.compile_model(model, "CPU", settings)
