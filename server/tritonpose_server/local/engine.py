"""The pipeline in the caller's process, in the place of a server that the client connects to."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from tritonpose.config import PipelineConfig
from tritonpose.errors import (
    ConfigError,
    DeadlineExceededError,
    InvalidRequestError,
    ServerError,
    ServerUnavailableError,
    TritonPoseError,
)
from tritonpose.local import LOCAL_URL
from tritonpose.transport.messages import InferRequest, PoseResponse
from tritonpose_pipeline.errors import (
    INTERNAL,
    BadRequestError,
    DeadlineError,
    RequestError,
    UnavailableError,
)
from tritonpose_pipeline.image import copy_file
from tritonpose_pipeline.limits import ComputeSlots, Limits
from tritonpose_pipeline.pipeline import RequestPipeline
from tritonpose_pipeline.repository import ModelRepository
from tritonpose_pipeline.request import PipelineRequest
from tritonpose_pipeline.telemetry.spans import Stages
from tritonpose_server.local.models import LocalModels
from tritonpose_server.local.options import LocalOptions
from tritonpose_server.models.choice import ModelChoice, choose_models
from tritonpose_server.models.store import Progress

LOGGER = logging.getLogger("tritonpose.local")

ChooseModels = Callable[..., ModelChoice]
"""As `choose_models`."""

# The process that has loaded an engine: its threads do not exist in the children it forks.
_loaded_in: int | None = None


class LocalEngine:
    """Answers requests in this process. Safe to use from several threads.

    Models are chosen, converted and loaded with the first request.
    """

    url = LOCAL_URL

    def __init__(
        self,
        config: PipelineConfig,
        options: LocalOptions,
        timeout: float,
        choose: ChooseModels = choose_models,
    ) -> None:
        """Prepare to serve the pipeline of a configuration; an image may take `timeout` seconds."""
        self._config = config
        self._timeout = timeout
        self._options = options
        self._choose = choose
        self._pipeline: _LoadedPipeline | None = None
        self._loading = threading.Lock()

    def infer(
        self,
        request: InferRequest,
        timeout: float,  # noqa: ARG002 - that of the engine, which begins when models are loaded
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> PoseResponse:
        """Find the people in an image, unless the caller gives up.

        Raises what `Transport.infer` raises.
        """
        try:
            return self.load().estimate(request, is_cancelled)
        except TritonPoseError:
            raise
        except RequestError as error:
            raise _client_error(error) from error
        except Exception as error:
            failure = ServerError(f"the local engine failed: {type(error).__name__}: {error}")
            failure.detail, failure.code = str(error), INTERNAL
            raise failure from error

    def __reduce__(self) -> tuple[object, ...]:
        # Other processes load engines of their own.
        return LocalEngine, (self._config, self._options, self._timeout, self._choose)

    def load(self, report: Progress | None = None) -> _LoadedPipeline:
        """Choose and load the models, unless that was done.

        Args:
            report: Gets lines for the user; by default the log, or where nobody has set up one,
                standard error.

        Raises:
            ConfigError: This process was forked from one that has loaded an engine.
            TritonPoseError: The models can't be fetched, converted or loaded.
        """
        global _loaded_in
        # Before any lock is taken: another thread may have held it when this process was forked.
        if _loaded_in not in (None, os.getpid()):
            raise ConfigError(
                "the local engine was used before this process was forked, and its threads are not "
                "here: use it first in the child, or start children with the method 'spawn'"
            )
        if self._pipeline is None:
            with self._loading:
                if self._pipeline is None:
                    _loaded_in = os.getpid()
                    choice = self._choose(
                        self._config, report or _report, strict=self._options.strict_models
                    )
                    self._pipeline = _LoadedPipeline(choice, self._options, self._timeout)
                return self._pipeline
        return self._pipeline

    def close(self) -> None:
        """Free the models."""
        self._pipeline = None


class AsyncLocalEngine:
    """The twin of `LocalEngine` for asyncio, which computes in threads."""

    url = LOCAL_URL

    def __init__(self, engine: LocalEngine) -> None:
        """Use an engine."""
        self._engine = engine

    def __reduce__(self) -> tuple[object, ...]:
        return AsyncLocalEngine, (self._engine,)

    async def infer(self, request: InferRequest, timeout: float) -> PoseResponse:
        """See `LocalEngine.infer`; cancelling it ends the work after the current stage."""
        cancelled = threading.Event()
        try:
            return await asyncio.to_thread(self._engine.infer, request, timeout, cancelled.is_set)
        finally:
            cancelled.set()

    async def is_ready(self, timeout: float) -> bool:  # noqa: ARG002 - servers may take time to answer
        """Say that it serves, for which nothing need be loaded."""
        return True

    async def close(self) -> None:
        """See `LocalEngine.close`."""
        self._engine.close()


class _LoadedPipeline:
    """The pipeline with its models loaded."""

    def __init__(self, choice: ModelChoice, options: LocalOptions, deadline_s: float) -> None:
        limits = replace(Limits.from_parameters({}), deadline_s=deadline_s)
        slots = ComputeSlots(limits.threads)
        roots = list(dict.fromkeys(model.parent for model in choice.models))
        models = LocalModels(roots, options, slots)
        # Compiling takes most of the time, and much of it no second core.
        with ThreadPoolExecutor(len(choice.models)) as loading:
            list(loading.map(models.load, [model.name for model in choice.models]))
        self._limits = limits
        self._pipeline = RequestPipeline(
            choice.settings,
            # Models stay as they were loaded.
            ModelRepository(*roots, fresh_s=math.inf),
            limits,
            slots,
            models,
        )

    def estimate(self, request: InferRequest, is_cancelled: Callable[[], bool]) -> PoseResponse:
        arrival = time.perf_counter()
        tensors = {name: array for name, _, array in request.tensors()}
        image = tensors.get("image")
        asked = PipelineRequest(
            image=None if image is None else copy_file(np.asarray(image, np.uint8), self._limits),
            frame=tensors.get("frame"),
            det_threshold=tensors.get("det_threshold"),
            person_boxes=tensors.get("person_boxes"),
            roi=tensors.get("roi"),
            parameters=request.parameters(),
        )
        poses = self._pipeline.estimate(asked, arrival, is_cancelled, Stages())
        return PoseResponse.from_outputs(poses._asdict().get)


def _client_error(error: RequestError) -> TritonPoseError:
    """Make the client's error of the pipeline's, as for a server's answer."""
    if isinstance(error, BadRequestError):
        raised: TritonPoseError = InvalidRequestError(f"the local engine refused: {error}")
    elif isinstance(error, DeadlineError):
        raised = DeadlineExceededError(
            f"the local engine: {error}. Allow more with timeout=..., or fewer images at a time "
            "with max_in_flight=..."
        )
    elif isinstance(error, UnavailableError):
        raised = ServerUnavailableError(f"the local engine: {error}")
    else:
        raised = ServerError(f"the local engine failed: {error}")
    raised.detail, raised.code = str(error), error.code
    return raised


def _report(line: str) -> None:
    """Show what happens to models: in the log, or where nobody has set up one, to the user."""
    if LOGGER.hasHandlers():
        LOGGER.info("%s", line)
    else:
        print(line, file=sys.stderr)
