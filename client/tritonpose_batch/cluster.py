"""Ray, on this machine for one run, or a cluster that is there."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritonpose.errors import ServerError, TritonPoseError

if TYPE_CHECKING:
    from tritonpose_batch.worker import Task

_STORE_BYTES = 80 * 2**20
"""Ray's minimum is 75 MiB; nothing but counts goes through its object store."""

_CORES_PER_WORKER = 4
"""A worker reads and sends several hundred images per second, more than four cores answer."""

_STOP_SECONDS = 30


@contextmanager
def ray_cluster(
    address: str | None, workers: int | None, scratch: Path, report: Callable[[str], None]
) -> Iterator[int]:
    """Connects to a Ray cluster, or runs Ray on this machine as long as the context lasts.

    Args:
        address: Of the cluster; None for this machine.
        workers: How many are wanted; None for one per four cores, at least one per node.
        scratch: Directory for Ray's own files.
        report: Called with lines for the user.

    Yields:
        The number of workers to run.

    Raises:
        TritonPoseError: There is no cluster at the address, or Ray can't be started.
    """
    # Read when Ray is imported, and by the processes that it starts.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Ray Data has Ray warn of Ray Data's own ways; what goes wrong comes as exceptions.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if address is None:
        # Despite its name: without it, Ray listens for other machines.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    import ray

    arguments: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        cores = os.cpu_count() or 1
        arguments |= {
            # Each worker counts as a core; more of them than cores may be asked for.
            "num_cpus": max(cores, workers or 1),
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES,
            "_temp_dir": str(scratch / "ray"),
            "_plasma_directory": _store_directory(scratch, report),
        }
    try:
        with _stderr_to(scratch / "ray.log"):
            ray.init(address or "local", **arguments)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"Ray at {address!r}" if address else "Ray"
        raise TritonPoseError(f"{where} can't be used: {error}") from error
    _be_quiet()
    try:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        yield workers or sum(
            max(int(node["Resources"].get("CPU", 0)) // _CORES_PER_WORKER, 1) for node in nodes
        )
    finally:
        ray.shutdown()


@contextmanager
def node_servers(task: Task, report: Callable[[str], None]) -> Iterator[None]:
    """Runs an embedded server on each node, unless the task names servers.

    Raises:
        TritonPoseError: A server can't be started.
    """
    if task.url is not None:
        yield
        return
    import ray

    from tritonpose_batch.worker import node_server

    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    report(f"starting Triton{f' on {len(nodes)} nodes' if len(nodes) > 1 else ''}")
    servers = [node_server(task, node) for node in nodes]
    try:
        try:
            for line in dict.fromkeys(line for told in _told(servers) for line in told):
                report(line)
        except ray.exceptions.RayError as error:
            raise cause_of(error) from error
        yield
    finally:
        # Before Ray ends them, as the servers tidy up after themselves.
        stops = [server.stop.remote() for server in servers]
        ray.wait(stops, num_returns=len(stops), timeout=_STOP_SECONDS)


def cause_of(error: BaseException) -> Exception:
    """What went wrong inside Ray, without Ray's account of where."""
    seen: BaseException | None = error
    while seen is not None:
        # Ray's own errors pose as their causes.
        if not hasattr(seen, "cause"):
            if isinstance(seen, ModuleNotFoundError):
                # The command says which extras to install.
                return seen
            if isinstance(seen, TritonPoseError | OSError):
                # Ray Data adds lines of its own.
                return TritonPoseError(str(seen).partition("\n")[0])
        seen = getattr(seen, "cause", None) or seen.__cause__
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return ServerError(f"a worker failed: {lines[-1]}")


def _told(servers: Sequence[Any]) -> list[list[str]]:
    import ray

    told: list[list[str]] = ray.get([server.told.remote() for server in servers])
    return told


def _store_directory(scratch: Path, report: Callable[[str], None]) -> str:
    """Where Ray's object store is kept: in memory, if there is room."""
    memory = Path("/dev/shm")  # noqa: S108
    try:
        free = shutil.disk_usage(memory).free
    except OSError:
        free = 0
    if free > 2 * _STORE_BYTES:
        return str(memory)
    report(f"warning: /dev/shm has only {free >> 20} MiB left: Ray's object store is on the disk")
    return str(scratch)


@contextmanager
def _stderr_to(path: Path) -> Iterator[None]:
    """Keeps from the user what Ray's C++ part says of its settings, whatever they are."""
    saved = os.dup(2)
    try:
        with path.open("wb") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _be_quiet() -> None:
    """Leaves what Ray Data tells to its log files, and errors to who raises them."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # Each report of a worker is a block of its own, and so is handed on at once.
    context.target_max_block_size = 1
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
