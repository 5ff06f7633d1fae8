"""Run a whole job: from inputs to Parquet and COCO files."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonpose.config import PipelineConfig
from tritonpose.errors import TritonPoseError
from tritonpose_batch.cluster import cause_of, node_servers, ray_cluster
from tritonpose_batch.coco import write_coco
from tritonpose_batch.items import list_items
from tritonpose_batch.job import JobOptions, Layout, Task, open_job
from tritonpose_batch.results import Counts, finished_counts
from tritonpose_batch.scratch import lone_run

_MOST_BLOCKS = 10_000


@dataclass(frozen=True)
class JobResult:
    """The result of a job; `total` is of all its runs, `passed_over` what directories hold besides.

    `speed` is in rows per second of this run, from the first report of a worker to the last:
    without starting Ray, servers and workers. None where there is no second report.
    """

    total: Counts
    speed: float | None
    passed_over: Counter[str]


def run_job(
    inputs: Sequence[str],
    output: Path,
    options: JobOptions,
    report: Callable[[str], None],
    progress: Callable[[int | None, Counts], None],
) -> JobResult:
    """Run a job to its end, or continue one that was stopped.

    All nodes of a cluster share the storage of ``output``. ``report`` is called with lines for the
    user; ``progress`` now and then with the number of rows of the whole job (None where videos are
    among the inputs) and what is done so far. What is done is kept where servers or Ray can't be
    used. ConfigError: another job was begun in the directory or another run works on it.
    """
    config = PipelineConfig.load(options.pipeline)
    passed_over: Counter[str] = Counter()
    items = list_items(inputs, report, passed_over)
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
        counts = before
        samples: list[tuple[float, int]] = []
        if left:
            task = Task(layout, Path.cwd(), config, options, name=scratch.name)
            report(f"{len(items)} inputs, {len(left)} shards")
            for done in _process(left, task, scratch, report):
                counts = before + done
                progress(total, counts)
                samples = [*samples[:1], (time.monotonic(), done.rows)]
        if options.coco and (left or not layout.coco.exists()):
            report(f"writing {layout.coco}")
            write_coco([layout.part(shard) for shard in range(shards)], layout.coco)
    return JobResult(counts, _speed(samples), passed_over)


def _speed(samples: Sequence[tuple[float, int]]) -> float | None:
    """Compute rows per second from the first and the last sample of time and rows."""
    if len(samples) < 2:
        return None
    (began, before), (ended, after) = samples
    return (after - before) / (ended - began)


def _process(
    shards: Sequence[int],
    task: Task,
    scratch: Path,
    report: Callable[[str], None],
) -> Iterator[Counts]:
    """Process shards; yield now and then what is done of them."""
    options, layout = task.options, task.layout
    report("starting Ray" if options.address is None else f"connecting to {options.address}")
    with (
        ray_cluster(options.address, options.workers, scratch, report) as workers,
        node_servers(task, report),
    ):
        report(f"{workers} workers")
        done: dict[int, Counts] = {}
        for row in _reports(shards, task, workers):
            # Replaces the shard's earlier counts: Ray may start a shard again.
            done[row["shard"]] = Counts(row["images"], row["persons"], row["errors"])
            yield sum(done.values(), Counts())
    absent = [shard for shard in shards if not layout.part(shard).exists()]
    if absent:
        raise TritonPoseError(
            f"{len(absent)} parts are not in {layout.poses}, such as "
            f"{layout.part(absent[0]).name}: --output must be on storage that all nodes share"
        )


def _reports(shards: Sequence[int], task: Task, workers: int) -> Iterator[dict[str, int]]:
    """Process shards with Ray Data; yield the reports of the workers as they come."""
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
    # Ray Data gives up on a machine that is too busy with a RuntimeError.
    except (ray.exceptions.RayError, RuntimeError) as error:
        raise cause_of(error) from error
