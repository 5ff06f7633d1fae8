"""Run inside Ray: workers that process shards, and the server of a node."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

import ray

from tritonpose.async_pipeline import AsyncPipeline
from tritonpose.config import PipelineConfig
from tritonpose.errors import AccessDeniedError, ModelNotFoundError, ServerUnavailableError
from tritonpose.local import LOCAL_URL, async_local_transport, make_engine
from tritonpose.transport import AsyncTransport, connect_async
from tritonpose.transport.connection import ConnectionOptions
from tritonpose_batch.cluster import CORES_PER_WORKER
from tritonpose_batch.job import JobOptions, Layout, Task, read_shard
from tritonpose_batch.results import Counts, row_of, writing_part
from tritonpose_batch.sources import sources_of
from tritonpose_pipeline.thresholds import Threshold

FATAL = (AccessDeniedError, ModelNotFoundError, ServerUnavailableError)
"""Errors of the servers, not of an input: they end the run; the job can be continued."""

_REPORT_SECONDS = 0.5

# Without limit but for the time: an offline job waits until servers have room again.
_RETRIES = 1_000_000


async def process_shard(
    shard: int, layout: Layout, pipeline: AsyncPipeline, det_threshold: Threshold | None
) -> AsyncGenerator[Counts, None]:
    """Send the images of a shard and write its part.

    A person must exceed ``det_threshold``; None is the pipeline's.

    Yields what is done so far, now and then; last, when the part exists, what it holds. Raises one
    of `FATAL`, after all retries; there is no part then.
    """
    items = read_shard(layout, shard)
    numbers = {item.path: number for number, item in items}
    reported = time.monotonic()
    with writing_part(layout.part(shard)) as part:
        results = pipeline.predict(
            sources_of(item for _, item in items), det_threshold, on_error="collect"
        )
        async with aclosing(results):
            async for result in results:
                if isinstance(result.error, FATAL):
                    raise result.error
                path = str(result["input_path"])
                part.add(row_of(numbers[path], path, result))
                if time.monotonic() - reported >= _REPORT_SECONDS:
                    yield part.counts
                    reported = time.monotonic()
    yield part.counts


class ShardWorker:
    """Process shards one after the other; a callable class for ``Dataset.map_batches``."""

    def __init__(self, task: Task) -> None:
        self._task = task
        os.chdir(task.directory)
        self._loop = asyncio.new_event_loop()
        # As many as there may be files to read at once; the default depends on the cores.
        self._loop.set_default_executor(ThreadPoolExecutor(task.options.max_in_flight + 1))
        self._pipeline = AsyncPipeline(
            *_transport_of(task), max_in_flight=task.options.max_in_flight
        )

    def __call__(self, batch: Mapping[str, Any]) -> Iterator[dict[str, list[int]]]:
        """Process the shard whose number is the one row of the column ``shard``.

        Yields what is done of it so far, as the one row of the columns ``shard``, ``images``,
        ``persons`` and ``errors``; last, when its part exists.
        """
        (shard,) = batch["shard"].tolist()
        threshold = self._task.options.det_threshold
        steps = process_shard(shard, self._task.layout, self._pipeline, threshold)
        try:
            while (counts := self._loop.run_until_complete(anext(steps, None))) is not None:
                row = {"shard": shard, **asdict(counts)}
                yield {name: [value] for name, value in row.items()}
        finally:
            self._loop.run_until_complete(steps.aclose())


def _transport_of(task: Task) -> tuple[AsyncTransport, PipelineConfig]:
    """Connect to the task's servers, to that of this node, or load the engine in this process.

    Returned is also what to ask of it.
    """
    options = task.options
    if options.url == LOCAL_URL:
        engine = make_engine(
            task.config,
            options.timeout,
            device=options.device,
            engine_config={"cpu_threads": CORES_PER_WORKER},
            strict_models=options.strict_models,
        )
        engine.load()
        return async_local_transport(engine, options.timeout), PipelineConfig()
    connection: ConnectionOptions = {**options.connection, "retries": _RETRIES}
    if options.url is not None:
        return connect_async(options.url, options.timeout, **connection), task.config
    url = ray.get(node_server(task, ray.get_runtime_context().get_node_id()).url.remote())
    # The server's defaults are those of the configuration.
    return connect_async(url, options.timeout, **connection), PipelineConfig()


class NodeServer:
    """An embedded server for the workers of one node, which lives as long as this Ray actor."""

    def __init__(self, config: PipelineConfig, options: JobOptions) -> None:
        from tritonpose_server.cli.servers import embedded_server

        self._lines: list[str] = []
        self._server = embedded_server(
            config, options.device, self._lines.append, strict_models=options.strict_models
        )
        self._server.start()

    def url(self) -> str:
        """Return its address, on the node itself."""
        return self._server.grpc_url

    def lines(self) -> list[str]:
        """Return the lines for the user on which models are served."""
        return self._lines

    def stop(self) -> None:
        """Stop the server and wait for its end."""
        self._server.stop()


def node_server(task: Task, node: str) -> Any:
    """Return the handle of the node's `NodeServer`, started if the node has none yet."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Without a core of its own, or workers would have none left on small machines.
    return (
        ray.remote(num_cpus=0)(NodeServer)
        .options(
            name=f"{task.name}-{node}",
            get_if_exists=True,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        )
        .remote(task.config, task.options)
    )
