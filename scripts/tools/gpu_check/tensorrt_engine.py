"""Builds a model's TensorRT engine in this process and runs it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tools.gpu_check.cuda_driver import CudaDriver
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models.graph.onnx_graph import tensor_shape
from tritonpose_server.models.tensorrt.worker import EngineError, Job, build_plan


class TensorRtEngine:
    """An engine with memory for its largest batch."""

    def __init__(self, trt: Any, graph: onnx.ModelProto, max_batch: int, gpu: int) -> None:
        """Build and load an engine.

        Args:
            trt: The module ``tensorrt``.
            graph: Made by ``engine_graph``; output shapes known but for the batch.
            max_batch: Largest batch.
            gpu: Number of the GPU.

        Raises:
            EmbeddedServerError: TensorRT or the driver reports an error.
        """
        # First: TensorRT uses the context that is current.
        self._cuda = CudaDriver(gpu)
        height, width, channels = (
            int(size or 0) for size in tensor_shape(graph.graph.input[0])[1:]
        )
        with tempfile.TemporaryDirectory(prefix="tritonpose-engine-") as work:
            source = Path(work) / "model.onnx"
            onnx.save(graph, source)
            shape = (height, width, channels)
            job = Job(str(source), "", shape, opt_batch=min(8, max_batch), max_batch=max_batch)
            try:
                plan = build_plan(trt, job)
            except EngineError as error:
                raise EmbeddedServerError(str(error)) from error
        # Kept, for the engine uses them.
        self._logger = trt.Logger(trt.Logger.WARNING)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EmbeddedServerError("TensorRT can't load the engine that it built")
        self._context = self._engine.create_execution_context()
        self._input = self._cuda.allocate(max_batch * height * width * channels)
        self._outputs = {
            tensor.name: [int(size or 0) for size in tensor_shape(tensor)[1:]]
            for tensor in graph.graph.output
        }
        self._addresses = {
            name: self._cuda.allocate(max_batch * int(np.prod(sizes)) * 4)
            for name, sizes in self._outputs.items()
        }
        self._context.set_tensor_address("image", self._input)
        for name, address in self._addresses.items():
            self._context.set_tensor_address(name, address)

    def run(self, images: np.ndarray[Any, np.dtype[np.uint8]]) -> list[Any]:
        """Run a batch.

        Args:
            images: uint8 ``[batch, h, w, 3]`` RGB.

        Returns:
            Outputs float32 ``[batch, ...]``, in the graph's order.

        Raises:
            EmbeddedServerError: TensorRT or the driver reports an error.
        """
        self._cuda.upload(self._input, np.ascontiguousarray(images))
        if not self._context.set_input_shape("image", images.shape):
            raise EmbeddedServerError(f"TensorRT refuses the shape {images.shape}")
        if not self._context.execute_async_v3(self._cuda.stream):
            raise EmbeddedServerError("TensorRT could not run the engine")
        self._cuda.wait()
        results = []
        for name, sizes in self._outputs.items():
            results.append(np.empty((len(images), *sizes), np.float32))
            self._cuda.download(results[-1], self._addresses[name])
        return results
