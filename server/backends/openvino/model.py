"""Triton backend ``openvino``: serves ``model.onnx`` with OpenVINO on the CPU.

Stands in for NVIDIA's C++ backend of the same name where only the Python backend exists, and
understands the same parameters of ``config.pbtxt``: ``NUM_STREAMS``, ``INFERENCE_NUM_THREADS``
and ``HINT_BF16``. Other than that backend it computes in FP32 unless ``HINT_BF16`` is ``YES`` and
the CPU has bf16, and says which: OpenVINO by itself picks bf16 on CPUs that have it, which changes
results.
"""

from __future__ import annotations

import queue
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
import openvino

from tritonpose_server.leaves.backend import LeafModel
from tritonpose_server.leaves.bf16 import cpu_has_bf16
from tritonpose_server.leaves.config import LeafConfig, LeafConfigError
from tritonpose_server.leaves.cores import plan_cores
from tritonpose_server.leaves.engine import Array
from tritonpose_server.leaves.signature import TensorSignature, check_signature

RequestPool: TypeAlias = "queue.SimpleQueue[openvino.InferRequest]"


class OpenVinoStream:
    """Runs a batch image by image, side by side on all of OpenVINO's streams.

    Graphs of a fixed shape run up to twice as fast as those of any batch size, and a batch of
    small images gains less than what cores lose that compute one image together.
    """

    def __init__(
        self, requests: RequestPool, helpers: ThreadPoolExecutor, config: LeafConfig
    ) -> None:
        """Make a stream.

        Args:
            requests: Idle inference requests for one image each, shared by all streams.
            helpers: Threads for the images of a batch beyond the first.
            config: The leaf's configuration.
        """
        self._requests = requests
        self._helpers = helpers
        self._names = [tensor.name for tensor in config.outputs]
        self._batch: dict[str, Array] = {}
        self._outputs: list[Array] = []

    def load(self, parts: Mapping[str, Sequence[Array]]) -> None:
        """Copy the next batch in (see ``Stream``)."""
        self._batch = {name: np.concatenate(pieces) for name, pieces in parts.items()}

    def run(self) -> Sequence[Array]:
        """Run the loaded batch (see ``Stream``)."""
        first, *others = range(len(next(iter(self._batch.values()))))
        with_others = [self._helpers.submit(self._infer, index) for index in others]
        results = [self._infer(first), *(future.result() for future in with_others)]
        return [np.stack(output) for output in zip(*results, strict=True)]

    def _infer(self, index: int) -> list[Array]:
        request = self._requests.get()
        try:
            for name, batch in self._batch.items():
                request.get_tensor(name).data[0] = batch[index]
            request.infer()
            return [request.get_tensor(name).data[0].copy() for name in self._names]
        finally:
            self._requests.put(request)


def load_openvino(config: LeafConfig) -> Sequence[OpenVinoStream]:
    """Compile a leaf (see ``Engine``).

    Raises:
        LeafConfigError: OpenVINO can't load it, or it is not what its configuration says.
    """
    plan = plan_cores(
        config.positive_integer("NUM_STREAMS"),
        config.positive_integer("INFERENCE_NUM_THREADS"),
        cores_per_stream=1,
    )
    settings = {
        "NUM_STREAMS": plan.streams,
        "INFERENCE_NUM_THREADS": plan.threads,
        "INFERENCE_PRECISION_HINT": "bf16" if _computes_bf16(config) else "f32",
        # Several leaves share the cores: pinned threads would fight for the same ones.
        "ENABLE_CPU_PINNING": False,
    }
    core = openvino.Core()
    try:
        model = core.read_model(config.path)
        check_signature(config, _signatures(model.inputs), _signatures(model.outputs))
        model.reshape({port: [1, *list(port.partial_shape)[1:]] for port in model.inputs})
        compiled = core.compile_model(model, "CPU", settings)
    except RuntimeError as error:
        raise LeafConfigError(
            f"model {config.name!r}: OpenVINO can't load {config.path.name}: {error}"
        ) from error
    requests: RequestPool = queue.SimpleQueue()
    for _ in range(plan.streams):
        requests.put(compiled.create_infer_request())
    helpers = ThreadPoolExecutor(plan.streams, thread_name_prefix="image")
    return [OpenVinoStream(requests, helpers, config) for _ in range(plan.streams)]


class TritonPythonModel(LeafModel):
    """Entry point for Triton."""

    engine = staticmethod(load_openvino)

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the leaf and say what came of its wish for bf16 (see ``LeafModel``)."""
        super().initialize(args)
        if _computes_bf16(self._config):
            self._pb.Logger.log_info(f"model {self._config.name}: computes in bf16")
        elif self._config.flag("HINT_BF16"):
            self._pb.Logger.log_warn(
                f"model {self._config.name}: computes in FP32, for this CPU has no bf16"
            )


def _computes_bf16(config: LeafConfig) -> bool:
    return config.flag("HINT_BF16") and cpu_has_bf16()


def _signatures(ports: Sequence[Any]) -> dict[str, TensorSignature]:
    """Types and shapes of a compiled model's inputs or outputs, by each of their names."""
    return {
        name: TensorSignature(
            dtype=port.element_type.to_dtype(),
            shape=tuple(
                None if size.is_dynamic else size.get_length() for size in port.partial_shape
            ),
        )
        for port in ports
        for name in port.names
    }
