"""OpenVINO on the CPU.

It understands the parameters of NVIDIA's C++ backend of this name: ``NUM_STREAMS``,
``INFERENCE_NUM_THREADS`` and ``HINT_BF16``. Unlike that backend it computes in FP32 unless
``HINT_BF16`` is ``YES`` and the CPU has bf16: OpenVINO by itself picks bf16 on CPUs that have it,
which changes results.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino

from tritonpose_server.engines.compiled import CompiledModels, compiled_key
from tritonpose_server.engines.cores import CorePlan, plan_cores
from tritonpose_server.engines.engine import (
    Array,
    EngineConfig,
    EngineConfigError,
    TensorSignature,
    check_signature,
)

# Two images of up to 128x128 pixels in one call take a fifth less than two calls: the layers are so
# small that what each costs besides computing counts. Larger ones gain nothing.
_LARGEST_OF_A_PAIR = 128 * 128 * 3

# OpenVINO makes its tables of NumPy's types at their first use, and runs Python meanwhile: two
# threads that load the first models at once would wait for each other for ever. Only one imports.
openvino.Type(np.float32).to_dtype()


def cpu_has_bf16(core: openvino.Core | None = None) -> bool:
    """Check whether the CPU has instructions for bfloat16 (AVX512-BF16, AMX, AVX-NE-CONVERT).

    OpenVINO takes the hint bf16 on any CPU: where the instructions are missing it emulates them
    slowly or silently computes in FP32, so it must not be asked then.
    """
    core = core or openvino.Core()
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoEngine:
    """Loads models (see ``Engine``)."""

    def __init__(
        self, core: openvino.Core | None = None, compiled: CompiledModels | None = None
    ) -> None:
        """Use an OpenVINO core, None for a new one, and models that were compiled before."""
        self._core = core or openvino.Core()
        self._compiled = compiled

    def __call__(self, config: EngineConfig) -> OpenVinoModel:
        """Compile a model (see ``Engine``).

        Raises EngineConfigError if OpenVINO can't load it, or it is not as configured.
        """
        plan = plan_cores(
            config.positive_integer("NUM_STREAMS"),
            config.positive_integer("INFERENCE_NUM_THREADS"),
            cores_per_stream=1,
        )
        precision = "bf16" if self.computes_bf16(config) else "f32"
        try:
            graphs = _Graphs(self._core, config, precision, self._compiled)
            return OpenVinoModel(graphs.compile, plan, config)
        except RuntimeError as error:
            raise EngineConfigError(
                f"model {config.name!r}: OpenVINO can't load {config.path.name}: {error}"
            ) from error

    def computes_bf16(self, config: EngineConfig) -> bool:
        """Check whether a model computes in bf16 instead of FP32."""
        return config.flag("HINT_BF16") and cpu_has_bf16(self._core)


class _Graphs:
    """Compiles a model once per batch; further graphs are imported, in a fifth of the time."""

    def __init__(
        self,
        core: openvino.Core,
        config: EngineConfig,
        precision: str,
        kept: CompiledModels | None,
    ) -> None:
        self._core = core
        self._config = config
        self._precision = precision
        self._kept = kept
        # All of the model is read for it.
        self._key = compiled_key(config, openvino.get_version(), precision) if kept else ""
        self._compiled: dict[int, bytes] = {}

    def compile(self, plan: CorePlan, batch: int = 1) -> openvino.CompiledModel:
        """Compile the model for batches of a size."""
        settings = _settings(plan, self._precision)
        key = f"{self._key}-{batch}"
        if self._kept and batch not in self._compiled and (found := self._kept.load(key)):
            self._compiled[batch] = found
        if batch in self._compiled:
            try:
                return self._core.import_model(self._compiled[batch], "CPU", settings)
            except RuntimeError:
                # What was kept can't be used here after all.
                del self._compiled[batch]
        model = self._core.read_model(self._config.path)
        check_signature(self._config, _signatures(model.inputs), _signatures(model.outputs))
        model.reshape({port: [batch, *list(port.partial_shape)[1:]] for port in model.inputs})
        compiled = self._core.compile_model(model, "CPU", settings)
        self._compiled[batch] = compiled.export_model().getvalue()
        if self._kept:
            self._kept.save(key, self._compiled[batch])
        return compiled


@dataclass(frozen=True)
class _Stream:
    """What runs one or two images at a time; one call at a time."""

    single: openvino.InferRequest
    pair: openvino.InferRequest | None = None


class OpenVinoModel:
    """Runs a batch on graphs of a fixed shape (see ``LoadedModel``).

    Such graphs run up to twice as fast as those of any batch size, and a batch of images gains less
    than what cores lose that compute one image together. Images run side by side, one on each
    stream; one that is alone runs on all cores. Small images beyond the number of streams run two
    in a call.
    """

    def __init__(
        self,
        compile_model: Callable[[CorePlan, int], openvino.CompiledModel],
        plan: CorePlan,
        config: EngineConfig,
    ) -> None:
        """Compile a model, with a function that compiles it for batches of a size."""
        self.streams = plan.streams
        self._inputs = [tensor.name for tensor in config.inputs]
        self._outputs = [tensor.name for tensor in config.outputs]
        self._pairs = config.max_batch_size > 1 and _are_small(config)
        single = compile_model(plan, 1)
        pair = compile_model(plan, 2) if self._pairs else None
        self._side_by_side: queue.SimpleQueue[_Stream] = queue.SimpleQueue()
        for _ in range(plan.streams):
            self._side_by_side.put(
                _Stream(single.create_infer_request(), pair and pair.create_infer_request())
            )
        self._alone: queue.SimpleQueue[_Stream] = queue.SimpleQueue()
        if plan.streams > 1:
            whole = CorePlan(streams=1, threads=plan.threads)
            self._alone.put(_Stream(compile_model(whole, 1).create_infer_request()))
        self._helpers = ThreadPoolExecutor(plan.streams, thread_name_prefix="image")
        self._in_flight = 0
        self._lock = threading.Lock()

    def run(self, inputs: Mapping[str, Array]) -> Sequence[Array]:
        """Run a batch (see ``LoadedModel``)."""
        images = list(zip(*(inputs[name] for name in self._inputs), strict=True))
        with self._lock:
            others = self._in_flight
            self._in_flight += len(images)
        try:
            if others == 0 and len(images) == 1 and not self._alone.empty():
                results = self._infer(self._alone, images)
            else:
                first, *further = self._calls(images, self.streams - others)
                futures = [
                    self._helpers.submit(self._infer, self._side_by_side, call) for call in further
                ]
                results = self._infer(self._side_by_side, first)
                results += [result for future in futures for result in future.result()]
        finally:
            with self._lock:
                self._in_flight -= len(images)
        return [np.stack(output) for output in zip(*results, strict=True)]

    def _calls(
        self, images: Sequence[Sequence[Array]], idle: int
    ) -> Sequence[Sequence[Sequence[Array]]]:
        """Divide images into calls of one or two; as many as there are idle streams if need be."""
        if not self._pairs:
            return [[image] for image in images]
        pairs = len(images) - max(-(-len(images) // 2), min(len(images), idle))
        calls = [images[index : index + 2] for index in range(0, 2 * pairs, 2)]
        return [*calls, *([image] for image in images[2 * pairs :])]

    def _infer(
        self, streams: queue.SimpleQueue[_Stream], images: Sequence[Sequence[Array]]
    ) -> list[list[Array]]:
        """Run one or two images in a call; return the outputs of each."""
        stream = streams.get()
        try:
            request = stream.single if len(images) == 1 else stream.pair
            if request is None:
                raise RuntimeError("there is no graph for pairs")
            for index, image in enumerate(images):
                for name, array in zip(self._inputs, image, strict=True):
                    request.get_tensor(name).data[index] = array
            request.infer()
            # Copies: the next images overwrite them.
            return [
                [request.get_tensor(name).data[index].copy() for name in self._outputs]
                for index in range(len(images))
            ]
        finally:
            streams.put(stream)


def _are_small(config: EngineConfig) -> bool:
    """Whether two images of a model together are less work than one after the other."""
    numbers = [int(np.prod(tensor.dims)) for tensor in config.inputs]
    return all(0 < number <= _LARGEST_OF_A_PAIR for number in numbers)


def _settings(plan: CorePlan, precision: str) -> dict[str, object]:
    return {
        "NUM_STREAMS": plan.streams,
        "INFERENCE_NUM_THREADS": plan.threads,
        "INFERENCE_PRECISION_HINT": precision,
        # Several models share the cores: pinned threads would fight for the same ones.
        "ENABLE_CPU_PINNING": False,
    }


def _signatures(ports: Sequence[Any]) -> dict[str, TensorSignature]:
    """Collect types and shapes of a compiled model's inputs or outputs, by each of their names."""
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
