"""Parts ``kills`` and ``reloads``: processes killed and models reloaded, under load."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from statistics import median

import httpx
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException

from tools.errors import ToolError
from tools.soak.context import Context, Plan
from tools.soak.endpoints import Endpoint
from tools.soak.pictures import differences
from tools.soak.report import Outcome, Report
from tools.soak.service import Service
from tritonpose.errors import TritonPoseError
from tritonpose.transport import connect_async
from tritonpose.transport.messages import InferRequest

# A service that has not recovered after this will not recover.
_RECOVERY_SECONDS = 60.0
_POLL_SECONDS = 0.05

# A server that dies again after this is restarted without delay.
_KILL_PAUSE_SECONDS = 3.0
_READY_TIMEOUT_SECONDS = 1.0

_RELOAD_PAUSE_SECONDS = 1.0

_CLIENTS_PER_ENDPOINT = 2
_PAUSE_SECONDS = 0.05

# More than any recovery takes.
_RETRY_SECONDS = 90.0
_RETRIES = 1000

# In this time the pipeline may or may not load a missing model itself.
_LONGEST_ABSENCE_SECONDS = 0.5


def roles_to_kill(service: Service, plan: Plan) -> list[str]:
    """Return the roles of the processes to kill; ToolError for one that the service lacks."""
    mortal = service.mortal()
    roles = plan.roles.split(",") if plan.roles else mortal
    unknown = set(roles) - set(mortal)
    if unknown:
        raise ToolError(f"no process {', '.join(sorted(unknown))}; there are {', '.join(mortal)}")
    return roles


async def run_kills(context: Context, report: Report) -> None:
    """Kill each process several times, in random order."""
    plan, service = context.plan, context.service
    victims = roles_to_kill(service, plan) * plan.kills
    random.Random(plan.seed).shuffle(victims)
    unready: dict[str, list[float]] = defaultdict(list)

    async def kill(role: str, load: EndlessLoad) -> float | None:
        victim = service.processes().get(role)
        if victim is None:
            return None
        noticed = asyncio.create_task(_seconds_until_unready(service.ready_url))
        os.kill(victim, signal.SIGKILL)

        def replaced() -> bool:
            return service.processes().get(role) not in (None, victim)

        needed = await _recovery(load, replaced)
        noticed.cancel()
        await asyncio.wait({noticed})
        if not noticed.cancelled():
            unready[role].append(noticed.result())
        return needed

    await _disrupt(context, report, victims, _KILL_PAUSE_SECONDS, kill)
    report.figures |= _spans(unready, "not ready after")


async def run_reloads(context: Context, report: Report) -> None:
    """Unload and load each model several times, in random order."""
    service = context.service
    rng = random.Random(context.plan.seed)
    turns = service.models() * context.plan.reloads
    rng.shuffle(turns)
    address = service.addresses.grpc.removeprefix("grpc://")
    headers = service.control_headers
    async with triton.InferenceServerClient(address) as control:

        async def reload(model: str, load: EndlessLoad) -> float | None:
            started = time.monotonic()
            try:
                await control.unload_model(model, headers=headers)
                await asyncio.sleep(rng.uniform(0, _LONGEST_ABSENCE_SECONDS))
                await control.load_model(model, headers=headers)
            except InferenceServerException as error:
                report.violate(f"{model} can't be unloaded or loaded: {error}")
            loading = time.monotonic() - started
            needed = await _recovery(load)
            return None if needed is None else loading + needed

        await _disrupt(context, report, turns, _RELOAD_PAUSE_SECONDS, reload)


class EndlessLoad:
    """Clients that send until they are stopped: some give up when refused, others retry."""

    def __init__(self, context: Context, report: Report) -> None:
        self._context = context
        self._report = report
        self._clients = context.clients(report, any_refusal=True)
        # When the last request was sent that an endpoint has answered.
        self._answered = {endpoint.name: 0.0 for endpoint in context.endpoints}
        self._retried = 0
        self._stopped = False

    def start(self, tasks: asyncio.TaskGroup) -> None:  # type: ignore[name-defined]
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


async def _disrupt(
    context: Context,
    report: Report,
    turns: Sequence[str],
    pause: float,
    act: Callable[[str, EndlessLoad], Awaitable[float | None]],
) -> None:
    """Disrupt one part of the service after the other, under load, with pauses between.

    ``act`` disrupts the part of a name, and returns the seconds until the service had recovered,
    None if it did not.
    """
    seconds: dict[str, list[float]] = defaultdict(list)
    load = EndlessLoad(context, report)
    async with asyncio.TaskGroup() as tasks:  # type: ignore[attr-defined]
        load.start(tasks)
        for number, name in enumerate(turns):
            await asyncio.sleep(pause)
            context.progress(f"{report.name}: {number + 1} of {len(turns)}: {name}")
            needed = await act(name, load)
            if needed is None:
                report.violate(f"not recovered {_RECOVERY_SECONDS:g} s after {name}'s turn")
                break
            seconds[name].append(needed)
        load.stop()
    report.figures |= _spans(seconds, "recovered after")


async def _recovery(load: EndlessLoad, ready: Callable[[], bool] = lambda: True) -> float | None:
    """Measure the seconds until a service is ready and all endpoints answer a request sent then."""
    started = time.monotonic()
    ready_since: float | None = None
    while time.monotonic() < started + _RECOVERY_SECONDS:
        now = time.monotonic()
        if ready_since is None:
            ready_since = now if await asyncio.to_thread(ready) else None
        elif load.all_answered_after(ready_since):
            return now - started
        await asyncio.sleep(_POLL_SECONDS)
    return None


async def _seconds_until_unready(url: str) -> float:
    """Measure the seconds until a service reports that it is not ready, or does not answer."""
    started = time.monotonic()
    async with httpx.AsyncClient(timeout=_READY_TIMEOUT_SECONDS, trust_env=False) as client:
        while True:
            try:
                ready = (await client.get(url)).is_success
            except httpx.HTTPError:
                ready = False
            if not ready:
                return time.monotonic() - started
            await asyncio.sleep(_POLL_SECONDS)


def _spans(seconds: Mapping[str, Sequence[float]], what: str) -> dict[str, str]:
    """Format the median and the longest of the seconds of each part, as figures."""
    return {
        f"{name}: {what}, s (median, longest)": (
            f"{median(times):.1f} {max(times):.1f} ({len(times)} times)"
        )
        for name, times in seconds.items()
    }
