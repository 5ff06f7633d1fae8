"""Run the soak test once: start a service, and run the parts one after the other."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path

from tools.soak.connections import run_connections
from tools.soak.context import Context, Plan
from tools.soak.endpoints import open_endpoints
from tools.soak.faults import roles_to_kill, run_kills, run_reloads
from tools.soak.hostile import refused_files
from tools.soak.mutations import PIXELS
from tools.soak.pictures import answered_pictures, cut_pictures
from tools.soak.report import Report
from tools.soak.service import serving
from tools.soak.traffic import run_fuzz, run_load, run_requests
from tritonpose.transport import connect
from tritonpose.transport.messages import InferRequest

PARTS: Mapping[str, Callable[[Context, Report], Awaitable[None]]] = {
    "fuzz": run_fuzz,
    "connections": run_connections,
    "load": run_load,
    "requests": run_requests,
    "reloads": run_reloads,
    "kills": run_kills,
}
"""The parts, in this order."""


async def run_soak(
    pipeline: str,
    photo: Path,
    plan: Plan,
    wanted: Collection[str],
    progress: Callable[[str], None],
) -> list[Report]:
    """Run the wanted parts of the test against a service of its own."""
    files = cut_pictures(photo)
    progress("starting the service")
    with serving(pipeline) as service:
        # The part that needs them is the last one.
        roles_to_kill(service, plan)
        transport = connect(service.addresses.grpc)
        with contextlib.closing(transport):
            pictures = answered_pictures(
                files, lambda data: transport.infer(InferRequest(image=data))
            )
        endpoints = open_endpoints(service.addresses)
        context = Context(service, endpoints, pictures, refused_files(PIXELS), plan, progress)
        reports: list[Report] = []
        try:
            for name in filter(wanted.__contains__, PARTS):
                if not service.program.ended():
                    reports += [await _run_part(name, context)]
        finally:
            for endpoint in endpoints:
                await endpoint.close()
        return reports


async def _run_part(name: str, context: Context) -> Report:
    service, report = context.service, Report(name)
    before = service.processes()
    await PARTS[name](context, report)
    after = service.processes()
    if service.program.ended():
        report.violate(str(service.program.failure("has ended")))
    elif name == "reloads":
        report.compare_processes(before, after, may_restart=service.models())
    elif name != "kills":
        report.compare_processes(before, after)
    return report
