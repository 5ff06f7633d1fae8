"""A whole job: from inputs to Parquet and COCO files."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tritonpose.config import PIPELINE_NAME, PipelineConfig
from tritonpose.errors import TritonPoseError
from tritonpose.transport.connection import ConnectionOptions
from tritonpose_batch.cluster import cause_of, node_servers, ray_cluster
from tritonpose_batch.coco import write_coco
from tritonpose_batch.items import Item, list_items
from tritonpose_batch.job import open_job
from tritonpose_batch.layout import Layout
from tritonpose_batch.part import Counts, finished_counts
from tritonpose_batch.scratch import lone_run

_MOST_BLOCKS = 10_000


@dataclass(frozen=True)
class Options:
    """How a job is run.

    Attributes:
        pipeline: Pipeline name, or path of a PaddleX pipeline YAML.
        det_threshold: Lowest detection score; None for the pipeline's.
        shard_size: Images per shard: what a kill may cost, per worker.
        url: The servers; None for an embedded one per node.
        connection: What to show to them: keys and certificates.
        device: Where embedded servers compute; None for the CPU.
        address: Of the Ray cluster; None for this machine.
        workers: How many, over all nodes; None for one per four cores.
        max_in_flight: Images under way at once, per worker.
        timeout: Seconds that an image may take, retries included.
        coco: Whether the COCO file is written.
    """

    pipeline: str = PIPELINE_NAME
    det_threshold: float | None = None
    shard_size: int = 500
    url: str | None = None
    # Never shown.
    connection: ConnectionOptions = field(default_factory=ConnectionOptions, repr=False)
    device: str | None = None
    address: str | None = None
    workers: int | None = None
    max_in_flight: int = 16
    timeout: float = 60.0
    coco: bool = True

    def settings(self, config: PipelineConfig) -> dict[str, Any]:
        """What decides the results: all runs of a job have these in common."""
        return {
            "pipeline": _plain(asdict(config)),
            "det_threshold": self.det_threshold,
            "shard_size": self.shard_size,
        }


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes:
        total: Of all its runs.
        speed: Rows per second of this run, from the first report of a worker to the last: without
            starting Ray, servers and workers. None where there is no second report.
    """

    total: Counts
    speed: float | None


def run_job(
    inputs: Sequence[str],
    output: Path,
    options: Options,
    report: Callable[[str], None],
    progress: Callable[[int | None, Counts], None],
) -> Outcome:
    """Runs a job to its end, or continues one that was stopped.

    Args:
        inputs: See `list_items`.
        output: Directory of the results; on storage that all nodes of a cluster share.
        options: How it is run.
        report: Called with lines for the user.
        progress: Called with the number of rows to come in all (None where videos are among the
            inputs) and what is done so far, now and then.

    Raises:
        ConfigError: Another job was begun in the directory or another run works on it, or the
            configuration is wrong.
        InputError: An input does not exist.
        TritonPoseError: Servers or Ray can't be used. What is done is kept.
        OSError: The directory can't be written.
    """
    config = PipelineConfig.load(options.pipeline)
    items = list_items(inputs)
    # Absolute, as workers run elsewhere.
    layout = Layout(output.absolute())
    with lone_run(layout) as scratch:
        shards = open_job(layout, items, options.settings(config))
        finished = {
            shard: counts
            for shard in range(shards)
            if (counts := finished_counts(layout.part(shard))) is not None
        }
        before = sum(finished.values(), Counts())
        total = None if any(item.video for item in items) else len(items)
        left = [shard for shard in range(shards) if shard not in finished]
        if finished:
            report(
                f"continuing: {before.rows} images were done before, {len(left)} shards are left"
            )
        progress(total, before)
        counts, speed = before, _Speed()
        if left:
            for done in _work(left, items, layout, config, options, scratch, report):
                counts = before + done
                progress(total, counts)
                speed.note(done.rows)
        if options.coco and (left or not layout.coco.exists()):
            report(f"writing {layout.coco}")
            write_coco([layout.part(shard) for shard in range(shards)], layout.coco)
    return Outcome(counts, speed.value())


class _Speed:
    """Rows per second between the first and the last report."""

    def __init__(self) -> None:
        self._notes: list[tuple[float, int]] = []

    def note(self, rows: int) -> None:
        """Notes how many rows there are now."""
        self._notes = [*self._notes[:1], (time.monotonic(), rows)]

    def value(self) -> float | None:
        """The speed; None where too little was noted."""
        if len(self._notes) < 2:
            return None
        (began, before), (ended, after) = self._notes
        return (after - before) / (ended - began)


def _work(
    shards: Sequence[int],
    items: Sequence[Item],
    layout: Layout,
    config: PipelineConfig,
    options: Options,
    scratch: Path,
    report: Callable[[str], None],
) -> Iterator[Counts]:
    """Works on shards; yields what is done of them, now and then."""
    report("starting Ray" if options.address is None else f"connecting to {options.address}")
    with ray_cluster(options.address, options.workers, scratch, report) as workers:
        from tritonpose_batch.worker import Task

        task = Task(
            layout=layout,
            directory=Path.cwd(),
            config=config,
            det_threshold=options.det_threshold,
            url=options.url,
            connection=options.connection,
            device=options.device,
            name=scratch.name,
            max_in_flight=options.max_in_flight,
            timeout=options.timeout,
        )
        with node_servers(task, report):
            report(f"{len(items)} inputs, {len(shards)} shards, {workers} workers")
            done: dict[int, Counts] = {}
            for row in _reports(shards, task, workers):
                # Counts of a shard replace earlier ones: it may be begun again.
                done[row["shard"]] = Counts(row["images"], row["persons"], row["errors"])
                yield sum(done.values(), Counts())
    absent = [shard for shard in shards if not layout.part(shard).exists()]
    if absent:
        raise TritonPoseError(
            f"{len(absent)} parts are not in {layout.poses}, such as "
            f"{layout.part(absent[0]).name}: --output must be on storage that all nodes share"
        )


def _reports(shards: Sequence[int], task: Any, workers: int) -> Iterator[dict[str, int]]:
    """Has Ray Data work on shards; yields what workers report, as they do."""
    import ray

    from tritonpose_batch.worker import ShardWorker

    data = ray.data.from_items(
        [{"shard": shard} for shard in shards],
        override_num_blocks=min(len(shards), _MOST_BLOCKS),
    ).map_batches(
        ShardWorker,
        fn_constructor_args=(task,),
        batch_size=1,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(shards))),
    )
    try:
        yield from data.iter_rows()
    except ray.exceptions.RayError as error:
        raise cause_of(error) from error


def _plain(value: Any) -> Any:
    """A value as JSON gives it back."""
    return json.loads(json.dumps(value, default=str))
