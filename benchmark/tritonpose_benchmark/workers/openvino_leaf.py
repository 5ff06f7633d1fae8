"""Leaves run by OpenVINO in this process, in FP32, as far as it goes: the limit of a server."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import openvino

Images = npt.NDArray[np.uint8]
Outputs = list[npt.NDArray[np.float32]]

# Larger batches leave the caches: measured, 8 crops at a time cost less than 16 or 32.
_LARGEST_GATHERED_BATCH = 8


class Leaf(Protocol):
    """Runs a leaf. Safe to use from several threads."""

    def run(self, images: Images) -> Outputs:
        """Run it on uint8 ``[B, h, w, 3]`` RGB images; its outputs are ``[B, ...]`` each."""
        ...


class DirectLeaf:
    """Runs each batch by itself, on all cores, for the least time of one image.

    Args:
        directory: The leaf's directory.
        outputs: Names of its outputs.
        cores: Threads of a batch.
    """

    def __init__(self, directory: Path, outputs: tuple[str, ...], cores: int) -> None:
        self._stream = _Stream(_compile(directory, 1, cores), outputs)
        self._lock = threading.Lock()

    def run(self, images: Images) -> Outputs:
        """Run the leaf (see ``Leaf``)."""
        with self._lock:
            return self._stream.run(images)


class GatheringLeaf:
    """Runs what several threads ask for in common batches, one batch per core at a time.

    Args:
        directory: The leaf's directory.
        outputs: Names of its outputs.
        cores: Batches that run at the same time, each on one thread.
    """

    def __init__(self, directory: Path, outputs: tuple[str, ...], cores: int) -> None:
        self._waiting: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        compiled = _compile(directory, cores, cores)
        for _ in range(cores):
            stream = _Stream(compiled, outputs)
            threading.Thread(target=self._serve, args=(stream,), daemon=True).start()

    def run(self, images: Images) -> Outputs:
        """Run the leaf (see ``Leaf``)."""
        result: Future[Outputs] = Future()
        self._waiting.put(_Job(images, result))
        return result.result()

    def _serve(self, stream: _Stream) -> None:
        left: _Job | None = None
        while True:
            jobs, left = self._gather(left or self._waiting.get())
            batch = np.concatenate([job.images for job in jobs])
            try:
                outputs = stream.run(batch)
            except Exception as error:
                for job in jobs:
                    job.result.set_exception(error)
                continue
            start = 0
            for job in jobs:
                end = start + len(job.images)
                job.result.set_result([output[start:end] for output in outputs])
                start = end

    def _gather(self, first: _Job) -> tuple[list[_Job], _Job | None]:
        """What waits and fits into a batch, and the first that does not fit any more."""
        jobs, size = [first], len(first.images)
        while size < _LARGEST_GATHERED_BATCH:
            try:
                job = self._waiting.get_nowait()
            except queue.Empty:
                break
            size += len(job.images)
            if size > _LARGEST_GATHERED_BATCH:
                return jobs, job
            jobs.append(job)
        return jobs, None


class _Job(NamedTuple):
    """Images that a thread waits for."""

    images: Images
    result: Future[Outputs]


class _Stream:
    """Runs one batch at a time."""

    def __init__(self, compiled: openvino.CompiledModel, outputs: tuple[str, ...]) -> None:
        self._request: Any = compiled.create_infer_request()
        self._outputs = outputs

    def run(self, images: Images) -> Outputs:
        self._request.infer({"image": np.ascontiguousarray(images)}, share_inputs=True)
        # Copies: the next batch overwrites them.
        return [self._request.get_tensor(name).data.copy() for name in self._outputs]


def _compile(directory: Path, streams: int, threads: int) -> openvino.CompiledModel:
    settings = {
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": threads,
        # OpenVINO picks bf16 by itself where the CPU has it, which changes results.
        "INFERENCE_PRECISION_HINT": "f32",
        # Two models share the cores: pinned threads would fight for the same ones.
        "ENABLE_CPU_PINNING": False,
    }
    return openvino.Core().compile_model(directory / "1" / "model.onnx", "CPU", settings)
