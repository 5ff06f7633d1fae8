"""Connect to Ray: on this machine for one run, or on an existing cluster."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tritonpose.errors import ServerError, TritonPoseError
from tritonpose.local import LOCAL_URL
from tritonpose_batch.job import Task
from tritonpose_pipeline.cores import available_cores

_STORE_BYTES = 80 * 2**20
"""Ray's minimum is 75 MiB; nothing but counts goes through its object store."""

CORES_PER_WORKER = 4
"""A worker reads and sends several hundred images per second, more than four cores answer; an
engine in its own process uses as many."""

_STOP_SECONDS = 30


@contextmanager
def ray_cluster(
    address: str | None, workers: int | None, scratch: Path, report: Callable[[str], None]
) -> Iterator[int]:
    """Connect to a Ray cluster, or run Ray on this machine while the context is active.

    Yields the number of workers: by default one per four cores, at least one per node. ``scratch``
    is for Ray's own files, ``report`` is given lines for the user. TritonPoseError: there is no
    cluster at the address, or Ray can't be started.
    """
    _set_environment(own=address is None)
    import ray

    arguments: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        cores = available_cores()
        arguments |= {
            # Each worker counts as a core, and the user may ask for more workers than cores.
            "num_cpus": max(cores, workers or 1),
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES,
            "_temp_dir": str(scratch / "ray"),
            "_plasma_directory": _store_directory(scratch, report),
            "runtime_env": {"env_vars": {"HOME": str(Path.home())}},
        }
    try:
        with _stderr_to(scratch / "ray.log"), _home_of_ray(scratch, own=address is None):
            ray.init(address or "local", **arguments)
    # Ray raises bare Exceptions, too, such as where the machine is too busy for it to start.
    except Exception as error:
        where = f"Ray at {address!r}" if address else "Ray"
        raise TritonPoseError(f"{where} can't be used: {error}") from error
    _be_quiet()
    try:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        yield workers or sum(
            max(int(node["Resources"].get("CPU", 0)) // CORES_PER_WORKER, 1) for node in nodes
        )
    finally:
        ray.shutdown()


def _set_environment(*, own: bool) -> None:
    """Set what is read when Ray is imported, and by the processes that it starts.

    ``own`` tells whether Ray runs for this job alone. What the user has set stays.
    """
    # Ray would warn of Ray Data's own habits; failures come as exceptions.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if own:
        # Despite its name: without it, Ray listens for other machines.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        # Or every user of this machine could run code as this one, through Ray's ports. Ray would
        # make a token by itself, and keep it in the user's home.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


@contextmanager
def _home_of_ray(scratch: Path, *, own: bool) -> Iterator[None]:
    """Give Ray's own processes a home where they find what they would ask for otherwise.

    Whatever the settings, Ray looks for a description of its cluster there, and without one asks
    the metadata services of three clouds where it is.
    """
    if not own:
        yield
        return
    (scratch / "ray_bootstrap_config.yaml").write_text("{}\n", "utf-8")
    before = os.environ.get("HOME")
    os.environ["HOME"] = str(scratch)
    try:
        yield
    finally:
        del os.environ["HOME"]
        if before is not None:
            os.environ["HOME"] = before


@contextmanager
def node_servers(task: Task, report: Callable[[str], None]) -> Iterator[None]:
    """Run an embedded server on each node, unless the task names servers or the workers."""
    if task.options.url == LOCAL_URL:
        from tritonpose_server.models.choice import choose_models

        # Says which models they are, and converts them before all workers want to.
        choose_models(task.config, report, strict=task.options.strict_models)
    if task.options.url is not None:
        yield
        return
    import ray

    from tritonpose_batch.worker import node_server

    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    report(f"starting Triton{f' on {len(nodes)} nodes' if len(nodes) > 1 else ''}")
    servers = [node_server(task, node) for node in nodes]
    try:
        try:
            reports: list[list[str]] = ray.get([server.lines.remote() for server in servers])
            for line in dict.fromkeys(line for lines in reports for line in lines):
                report(line)
        except ray.exceptions.RayError as error:
            raise cause_of(error) from error
        yield
    finally:
        # Before Ray kills the actors: the servers must clean up.
        stops = [server.stop.remote() for server in servers]
        ray.wait(stops, num_returns=len(stops), timeout=_STOP_SECONDS)


def cause_of(error: BaseException) -> Exception:
    """Find the error behind one of Ray's, without Ray's own lines."""
    seen: BaseException | None = error
    while seen is not None:
        # Ray's own errors pose as their causes.
        if not hasattr(seen, "cause"):
            if isinstance(seen, ModuleNotFoundError):
                # The command names the extra to install.
                return seen
            if isinstance(seen, TritonPoseError | OSError):
                # Ray Data adds lines of its own.
                return TritonPoseError(str(seen).partition("\n")[0])
        seen = getattr(seen, "cause", None) or seen.__cause__
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return ServerError(f"a worker failed: {lines[-1]}")


def _store_directory(scratch: Path, report: Callable[[str], None]) -> str:
    """Choose where Ray keeps its object store: in memory, if there is room."""
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
    """Redirect what Ray's C++ part prints about its settings, whatever they are."""
    saved = os.dup(2)
    try:
        with path.open("wb") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _be_quiet() -> None:
    """Keep Ray Data's messages in its log files; errors are raised."""
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # Each report of a worker is a block of its own, and so is passed on at once.
    context.target_max_block_size = 1
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
