"""One run of the test."""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path

from tools.soak.bench import Bench, PartReport, Progress
from tools.soak.fronts import open_fronts
from tools.soak.hostile import refused_files
from tools.soak.mutations import PIXELS
from tools.soak.parts.fuzz import run_fuzz
from tools.soak.parts.kills import run_kills
from tools.soak.parts.load import run_load
from tools.soak.parts.reloads import run_reloads
from tools.soak.parts.requests import run_requests
from tools.soak.pictures import Picture, cut_pictures, know
from tools.soak.plan import Plan
from tools.soak.service import Service, serving
from tritonpose.transport import connect
from tritonpose.transport.messages import InferRequest

Part = Callable[[Bench, Plan], Awaitable[PartReport]]

PARTS: Mapping[str, Part] = {
    "fuzz": run_fuzz,
    "load": run_load,
    "requests": run_requests,
    "reloads": run_reloads,
    "kills": run_kills,
}
"""What can be run, in the order in which it is."""


async def run_soak(
    pipeline: str, photo: Path, plan: Plan, wanted: Collection[str], progress: Progress
) -> list[PartReport]:
    """Run parts of the test against a service of its own.

    Args:
        pipeline: Pipeline name, or path of a PaddleX pipeline YAML.
        photo: A photo with people.
        plan: How much is done.
        wanted: Some of `PARTS`.
        progress: Called with lines for the user.

    Raises:
        SoakError: The photo can't be read, nobody is found on it, the plan names a process that
            there is not, or the service did not start.
        TritonPoseError: It gives no answers even when nothing else goes on.
    """
    files = cut_pictures(photo)
    with tempfile.TemporaryDirectory() as work:
        progress("starting the service")
        with serving(pipeline, Path(work) / "service.log") as service:
            pictures = _known_pictures(service, files)
            fronts = open_fronts(service.addresses)
            bench = Bench(service, fronts, pictures, refused_files(PIXELS), plan.seed, progress)
            reports = []
            try:
                for name, part in PARTS.items():
                    if name in wanted:
                        reports.append(await part(bench, plan))
                        if service.ended():
                            reports[-1].violations.append(
                                f"the service has ended:\n{service.last_lines()}"
                            )
                            break
            finally:
                for front in fronts:
                    await front.close()
            return reports


def _known_pictures(service: Service, files: Sequence[bytes]) -> list[Picture]:
    transport = connect(service.addresses.grpc)
    try:
        return know(files, lambda data: transport.infer(InferRequest(image=data)))
    finally:
        transport.close()
