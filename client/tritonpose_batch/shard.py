"""Working on one shard: from its items to its part."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from tritonpose import AsyncPipeline
from tritonpose.errors import AccessDeniedError, ModelNotFoundError, ServerUnavailableError
from tritonpose_batch.job import read_shard
from tritonpose_batch.layout import Layout
from tritonpose_batch.part import Counts, PartWriter
from tritonpose_batch.rows import row_of
from tritonpose_batch.sources import sources_of

REPORT_SECONDS = 0.5
"""How often a shard tells how far it is."""

FATAL = (AccessDeniedError, ModelNotFoundError, ServerUnavailableError)
"""What is wrong with the servers, not with an input: it ends the job, which can be continued."""


async def work_on(
    shard: int, layout: Layout, pipeline: AsyncPipeline, det_threshold: float | None
) -> AsyncGenerator[Counts, None]:
    """Sends the images of a shard and writes its part.

    Args:
        shard: Its number.
        layout: Where the job is kept.
        pipeline: Leads to the servers.
        det_threshold: Lowest detection score; None for the pipeline's.

    Yields:
        What is done so far, now and then; last, once the part is there, what it holds.

    Raises:
        TritonPoseError: One of `FATAL`, after all retries. There is no part then.
        OSError: The part can't be written.
    """
    items = read_shard(layout, shard)
    numbers = {item.path: number for number, item in items}
    reported = time.monotonic()
    with PartWriter(layout.part(shard)) as part:
        results = pipeline.predict(
            sources_of(item for _, item in items), det_threshold, on_error="collect"
        )
        async with aclosing(results):
            async for result in results:
                if isinstance(result.error, FATAL):
                    raise result.error
                path = str(result["input_path"])
                part.add(row_of(numbers[path], path, result))
                if time.monotonic() - reported >= REPORT_SECONDS:
                    yield part.counts
                    reported = time.monotonic()
    yield part.counts
