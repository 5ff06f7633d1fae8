"""What runs inside Ray: workers that send images, and the server of a node."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray

from tritonpose.async_pipeline import AsyncPipeline
from tritonpose.config import PipelineConfig
from tritonpose.transport import connect_async
from tritonpose.transport.connection import ConnectionOptions
from tritonpose_batch.layout import Layout
from tritonpose_batch.part import Counts
from tritonpose_batch.shard import work_on

if TYPE_CHECKING:
    from tritonpose_server.embedded.server import EmbeddedServer

_RETRIES = 1_000_000
"""Without bound but for the time: an offline job waits until servers have room again."""


@dataclass(frozen=True)
class Task:
    """What every worker needs to know.

    Attributes:
        layout: Where the job is kept, on storage that all nodes share.
        directory: Where relative paths of inputs start.
        config: What to ask of the servers.
        det_threshold: Lowest detection score; None for the configuration's.
        url: The servers; None for the one of the worker's node.
        connection: What to show to them: keys and certificates.
        device: Where the servers of nodes compute.
        name: The job's own, for what it starts.
        max_in_flight: Images under way at once, per worker.
        timeout: Seconds that an image may take, retries included.
    """

    layout: Layout
    directory: Path
    config: PipelineConfig
    det_threshold: float | None
    url: str | None
    connection: ConnectionOptions
    device: str | None
    name: str
    max_in_flight: int
    timeout: float


class ShardWorker:
    """Works on shards, one after the other; a callable class for ``Dataset.map_batches``."""

    def __init__(self, task: Task) -> None:
        self._task = task
        os.chdir(task.directory)
        self._loop = asyncio.new_event_loop()
        # As many as there may be files to read at once; the default goes by the cores.
        self._loop.set_default_executor(ThreadPoolExecutor(task.max_in_flight + 1))
        url, config = task.url, task.config
        if url is None:
            url = ray.get(node_server(task, ray.get_runtime_context().get_node_id()).url.remote())
            # The server's defaults are those of the configuration.
            config = PipelineConfig()
        self._url, self._config = url, config

    def __call__(self, batch: Mapping[str, Any]) -> Iterator[dict[str, list[int]]]:
        """Works on a shard.

        Args:
            batch: Its number, as the one row of the column ``shard``.

        Yields:
            What is done of it so far, as the one row of the columns ``shard``, ``images``,
            ``persons`` and ``errors``; last, when its part is there.
        """
        (shard,) = batch["shard"].tolist()
        steps = self._steps(shard)
        try:
            while (counts := self._loop.run_until_complete(anext(steps, None))) is not None:
                row = {"shard": shard, **asdict(counts)}
                yield {name: [value] for name, value in row.items()}
        finally:
            self._loop.run_until_complete(steps.aclose())

    async def _steps(self, shard: int) -> AsyncGenerator[Counts, None]:
        task = self._task
        connection: ConnectionOptions = {**task.connection, "retries": _RETRIES}
        transport = connect_async(self._url, task.timeout, **connection)
        pipeline = AsyncPipeline(transport, self._config, max_in_flight=task.max_in_flight)
        steps = work_on(shard, task.layout, pipeline, task.det_threshold)
        async with pipeline, aclosing(steps):
            async for counts in steps:
                yield counts


class NodeServer:
    """An embedded server for the workers of one node; an actor, as long as it lives."""

    def __init__(self, config: PipelineConfig, device: str | None) -> None:
        from tritonpose_server.embedded.device import Device
        from tritonpose_server.embedded.options import ServerOptions
        from tritonpose_server.embedded.server import EmbeddedServer
        from tritonpose_server.models.choice import choose_models

        place = None if device is None else Device.parse(device)
        self._told: list[str] = []
        choice = choose_models(config, self._told.append)
        options = ServerOptions(device=place)
        self._server: EmbeddedServer = EmbeddedServer(choice.models, choice.settings, options)
        self._server.start()

    def url(self) -> str:
        """Its address, on the node itself."""
        return self._server.grpc_url

    def told(self) -> list[str]:
        """What choosing the models told the user."""
        return self._told

    def stop(self) -> None:
        """Stops the server and waits for its end."""
        self._server.stop()


def node_server(task: Task, node: str) -> Any:
    """The server of a node; started, if the node has none yet.

    Args:
        task: What it serves.
        node: The node's id.

    Returns:
        The handle of the actor, a `NodeServer`.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Without a core of its own, or workers would have none left on small machines.
    return (
        ray.remote(num_cpus=0)(NodeServer)
        .options(
            name=f"{task.name}-{node}",
            get_if_exists=True,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        )
        .remote(task.config, task.device)
    )
