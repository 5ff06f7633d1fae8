"""Triton model ``human_keypoint_detection``: a thin adapter around ``tritonpose_pipeline``.

``execute`` only accepts requests: each is worked on in a thread pool, calls the models
through Triton (BLS) and sends its own response, so that requests overlap and the models see
them all at once.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from tritonpose_pipeline.errors import UnavailableError
from tritonpose_pipeline.image import copy_file
from tritonpose_pipeline.limits import ComputeSlots, Limits
from tritonpose_pipeline.memory import keep_freed_memory, release_freed_memory
from tritonpose_pipeline.opencv import set_up_opencv
from tritonpose_pipeline.pipeline import RequestPipeline
from tritonpose_pipeline.repository import ModelRepository
from tritonpose_pipeline.request import PipelineRequest
from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_pipeline.telemetry.metrics import PipelineCounts, TritonMetrics
from tritonpose_pipeline.telemetry.spans import Spans, pop_context
from tritonpose_pipeline.triton import Admission, ModelCaller, Responder, drain_file, take_input
from tritonpose_pipeline.usage import Usage, common_file

MODEL_NAME = "human_keypoint_detection"

# Models that are replaced take longer to load.
_FRESH_SECONDS = 0.05


class TritonPythonModel:
    """Entry point for Triton."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Read the pipeline's configuration.

        Args:
            args: Triton's arguments (model configuration, repository, version).
        """
        config = json.loads(args["model_config"])
        parameters = {
            key: value["string_value"] for key, value in config.get("parameters", {}).items()
        }
        # Models lie beside the pipeline, and wherever the launcher says.
        extra = json.loads(parameters.get("model_repositories", "[]"))
        self._instances = sum(group["count"] for group in config.get("instance_group", [])) or 1
        self._limits = Limits.from_parameters(parameters, self._instances).share(self._instances)
        self._usage = Usage(common_file(drain_file()) if self._instances > 1 else None)
        # Before there are threads, which choose their place at their first use of memory.
        keep_freed_memory()
        self._accepted = Admission(self._limits.max_in_flight, self._usage)
        self._threads = ThreadPoolExecutor(self._limits.workers, thread_name_prefix="pose")
        self._counts = PipelineCounts()
        self._metrics = TritonMetrics(pb_utils, self._counts, release_freed_memory)
        self._spans = Spans.from_environment(
            os.environ, "tritonpose-pipeline", pb_utils.Logger.log_warn
        )
        slots = ComputeSlots(self._limits.threads)
        self._pipeline = RequestPipeline(
            PipelineSettings.from_parameters(parameters),
            ModelRepository(
                Path(args["model_repository"]).parent, *map(Path, extra), fresh_s=_FRESH_SECONDS
            ),
            self._limits,
            slots,
            ModelCaller(pb_utils, slots, self._spans),
            self._usage,
        )
        set_up_opencv()

    def execute(self, requests: Sequence[Any]) -> None:
        """Accept requests, or refuse them at once when too many are in flight."""
        for request in requests:
            responder = Responder(pb_utils, request, self._limits.slow_s)
            try:
                self._accepted.acquire()
            except UnavailableError as error:
                self._refuse(responder, error)
            else:
                self._accept(request, responder)
        self._accepted.leave_to_others(self._limits.workers, self._instances)

    def finalize(self) -> None:
        """Finish the requests in flight."""
        self._threads.shutdown()
        self._metrics.close()
        self._spans.close()
        self._usage.close()

    def _accept(self, request: Any, responder: Responder) -> None:
        arrival = time.perf_counter_ns()
        try:
            # Triton frees a request's memory when execute returns: what is to last is copied here.
            parameters = json.loads(request.parameters() or "{}")
            context = pop_context(parameters)
            image = pb_utils.get_input_tensor_by_name(request, "image")
            asked = PipelineRequest(
                image=None if image is None else copy_file(image.as_numpy(), self._limits),
                frame=take_input(pb_utils, request, "frame"),
                det_threshold=take_input(pb_utils, request, "det_threshold"),
                person_boxes=take_input(pb_utils, request, "person_boxes"),
                roi=take_input(pb_utils, request, "roi"),
                parameters=parameters,
            )
            self._counts.accepted()
            self._threads.submit(self._serve, asked, responder, arrival, context)
        except Exception as error:
            self._accepted.release()
            self._refuse(responder, error)

    def _refuse(self, responder: Responder, error: Exception) -> None:
        self._counts.refused(error)
        responder.send_error(error)

    def _serve(
        self,
        request: PipelineRequest,
        responder: Responder,
        arrival: int,
        context: Mapping[str, str],
    ) -> None:
        with self._spans.request(MODEL_NAME, context, arrival) as stages:
            stages.record("queue", arrival)
            try:
                poses = self._pipeline.estimate(
                    request, arrival / 1e9, responder.is_cancelled, stages
                )
                with stages("respond"):
                    responder.send(poses._asdict())
                self._counts.succeeded(stages.finished, len(poses.boxes))
            except Exception as error:
                self._counts.failed(stages.finished, error)
                responder.send_error(error)
            finally:
                self._accepted.release()
