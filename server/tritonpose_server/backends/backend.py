"""The Triton model class of the Python-based backends."""

from __future__ import annotations

import json
import os
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from tritonpose_pipeline.telemetry.spans import Spans, pop_context
from tritonpose_server.engines.engine import Array, Engine, EngineConfig, EngineConfigError


class BackendModel:
    """Serves one model: a Triton Python model whose batches run on the streams of an engine.

    Each call of ``execute`` is one batch formed by Triton's scheduler. It is handed to an idle
    stream and answered from that stream's thread, so that several batches run side by side.
    """

    engine: Engine

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the model; TritonModelException, whose message says why, if it can't be served."""
        # Exists only inside the processes that Triton starts.
        import triton_python_backend_utils as pb_utils

        self._pb = pb_utils
        try:
            self._config = EngineConfig.from_triton(args)
            self._model = self.engine(self._config)
        except EngineConfigError as error:
            raise pb_utils.TritonModelException(str(error)) from None
        self._spans = Spans.from_environment(
            os.environ, f"tritonpose-{self._config.name}", pb_utils.Logger.log_warn
        )
        self._idle = threading.Semaphore(self._model.streams)
        self._threads = ThreadPoolExecutor(self._model.streams, thread_name_prefix="stream")

    def execute(self, requests: Sequence[Any]) -> None:
        """Start one batch; its requests are answered when it is done.

        Blocks while all streams are busy, so that Triton's scheduler gathers requests for the next
        batch meanwhile.
        """
        senders = [request.get_response_sender() for request in requests]
        start, contexts = time.perf_counter_ns(), self._trace_contexts(requests)
        self._idle.acquire()
        try:
            # Triton frees the requests' memory when this returns: the inputs are copied here.
            parts = {
                tensor.name: [
                    self._pb.get_input_tensor_by_name(request, tensor.name).as_numpy()
                    for request in requests
                ]
                for tensor in self._config.inputs
            }
            counts = [len(part) for part in parts[self._config.inputs[0].name]]
            inputs = {name: np.concatenate(pieces) for name, pieces in parts.items()}
            self._threads.submit(self._run, inputs, senders, counts, start, contexts)
        except Exception as error:
            self._idle.release()
            self._fail(senders, error)

    def finalize(self) -> None:
        """Finish the batches in flight."""
        self._threads.shutdown()
        self._spans.close()

    def _trace_contexts(self, requests: Sequence[Any]) -> list[dict[str, str]]:
        """Read the trace context of each request; none without traces."""
        if not self._spans.active:
            return []
        return [pop_context(json.loads(request.parameters() or "{}")) for request in requests]

    def _run(
        self,
        inputs: Mapping[str, Array],
        senders: Sequence[Any],
        counts: Sequence[int],
        start: int,
        contexts: Sequence[Mapping[str, str]],
    ) -> None:
        try:
            outputs = self._model.run(inputs)
            end = time.perf_counter_ns()
            # A span for each request of the batch, as long as the batch takes.
            for context, count in zip(contexts, counts, strict=False):
                images = {"tritonpose.images": count, "tritonpose.batch_images": sum(counts)}
                self._spans.add(self._config.name, context, start, end, images)
            self._answer(senders, counts, outputs)
        except Exception as error:
            self._fail(senders, error)
        finally:
            self._idle.release()

    def _answer(
        self, senders: Sequence[Any], counts: Sequence[int], outputs: Sequence[Array]
    ) -> None:
        """Split a batch's outputs among its requests."""
        start = 0
        for sender, count in zip(senders, counts, strict=True):
            tensors = [
                self._pb.Tensor(tensor.name, output[start : start + count])
                for tensor, output in zip(self._config.outputs, outputs, strict=True)
            ]
            self._send(sender, self._pb.InferenceResponse(tensors))
            start += count

    def _fail(self, senders: Sequence[Any], error: Exception) -> None:
        details = "".join(traceback.format_exception(error))
        self._pb.Logger.log_error(f"model {self._config.name}: {details}")
        message = f"model {self._config.name!r} failed: {error}"
        for sender in senders:
            self._send(sender, self._pb.InferenceResponse(error=self._pb.TritonError(message)))

    def _send(self, sender: Any, response: Any) -> None:
        """Send the one response of a request, even if others of its batch can't be sent."""
        try:
            sender.send(response, flags=self._pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        except Exception as error:
            self._pb.Logger.log_error(f"model {self._config.name}: response not sent: {error}")
