"""Schedules of requests: a fixed number in flight, a fixed rate, or without end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from tools.soak.clients import Clients
from tools.soak.context import Context, Outcome, Report
from tools.soak.endpoints import Endpoint
from tools.soak.pictures import differences
from tritonpose.errors import TritonPoseError
from tritonpose.transport import connect_async
from tritonpose.transport.messages import InferRequest

_PROGRESS_SECONDS = 30.0

# A request that waits longer has been forgotten.
_DRAIN_SECONDS = 40.0

_CLIENTS_PER_ENDPOINT = 2
_PAUSE_SECONDS = 0.05

# More than any recovery takes.
_RETRY_SECONDS = 90.0
_RETRIES = 1000


async def in_parallel(
    send: Callable[[int], Awaitable[object]],
    count: int,
    concurrency: int,
    progress: Callable[[str], None],
) -> None:
    """Send requests with a fixed number in flight (closed loop).

    Args:
        send: Sends the request of a number, from 0.
        count: Number of requests.
        concurrency: Requests in flight.
        progress: Called now and then with a line for the user.
    """
    numbers = iter(range(count))
    reported = time.monotonic()

    async def work() -> None:
        nonlocal reported
        for number in numbers:
            await send(number)
            if time.monotonic() > reported + _PROGRESS_SECONDS:
                reported = time.monotonic()
                progress(f"{number} of {count}")

    await asyncio.gather(*(work() for _ in range(concurrency)))


async def at_random_moments(
    send: Callable[[int], Awaitable[object]],
    rate: float,
    seconds: float,
    seed: int,
    progress: Callable[[str], None],
) -> tuple[int, int]:
    """Send requests at a mean rate, whether they are answered or not (open loop).

    Args:
        send: Sends the request of a number, from 0.
        rate: Requests per second.
        seconds: How long.
        seed: Seed of the moments.
        progress: Called now and then with a line for the user.

    Returns:
        The number of requests sent, and how many of them got no answer at all.
    """
    rng = random.Random(seed)
    started = reported = due = time.monotonic()
    in_flight: set[asyncio.Future[object]] = set()
    sent = 0
    while due < started + seconds:
        await asyncio.sleep(max(due - time.monotonic(), 0))
        task = asyncio.ensure_future(send(sent))
        in_flight.add(task)
        task.add_done_callback(in_flight.discard)
        sent += 1
        due += rng.expovariate(rate)
        if time.monotonic() > reported + _PROGRESS_SECONDS:
            reported = time.monotonic()
            progress(f"{reported - started:.0f} s, {sent} sent, {len(in_flight)} in flight")
    if in_flight:
        await asyncio.wait(in_flight, timeout=_DRAIN_SECONDS)
    forgotten = [task for task in in_flight if not task.done()]
    for request in forgotten:
        request.cancel()
    return sent, len(forgotten)


class EndlessLoad:
    """Clients that send until they are stopped: some give up when refused, others retry.

    Args:
        context: The service, and what is sent.
        report: Gets outcomes and violations.
    """

    def __init__(self, context: Context, report: Report) -> None:
        self._context = context
        self._report = report
        self._clients = Clients(
            context.pictures, context.refused, report, context.plan.seed, any_refusal=True
        )
        # When the last request was sent that an endpoint has answered.
        self._answered = {endpoint.name: 0.0 for endpoint in context.endpoints}
        self._retried = 0
        self._stopped = False

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Start all clients."""
        addresses = self._context.service.addresses
        for _ in range(_CLIENTS_PER_ENDPOINT):
            for endpoint in self._context.endpoints:
                tasks.create_task(self._send(endpoint))
            for url in (addresses.grpc, addresses.http):
                tasks.create_task(self._retry(url))

    def stop(self) -> None:
        """Stop after the requests in flight, and report on the clients that retry."""
        self._stopped = True
        self._report.figures["answers of the retrying client"] = str(self._retried)
        if not self._retried:
            self._report.violate("the retrying client got no answer")

    def all_answered_after(self, moment: float) -> bool:
        """Whether every endpoint has answered a request that was sent after a moment."""
        return min(self._answered.values()) > moment

    async def _send(self, endpoint: Endpoint) -> None:
        while not self._stopped:
            started = time.monotonic()
            if await self._clients.own_box(endpoint) == Outcome.ANSWERED:
                self._answered[endpoint.name] = max(started, self._answered[endpoint.name])
            else:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _retry(self, url: str) -> None:
        """Use the project's client with retries: it must not lose a single answer."""
        transport = connect_async(url, _RETRY_SECONDS, retries=_RETRIES)
        picture = self._context.pictures[0]
        try:
            while not self._stopped:
                answer = await transport.infer(InferRequest(image=picture.data))
                self._retried += 1
                wrong = differences(answer, picture.answer)
                if wrong:
                    self._report.violate(f"the retrying client got a wrong answer: {wrong}")
        except TritonPoseError as error:
            self._report.violate(f"the retrying client lost an answer: {error}")
        finally:
            await transport.close()
