"""Starts the processes of an embedded server: its files, its command line, its guardian."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from tritonpose_pipeline.settings import PipelineSettings
from tritonpose_server.embedded.installation import (
    find_libpython_directory,
    find_triton,
    triton_environment,
)
from tritonpose_server.embedded.model_configs import stage_models
from tritonpose_server.embedded.options import ServerOptions
from tritonpose_server.embedded.staging import (
    link_repositories,
    model_repositories,
    stage_backends,
    stage_pipeline,
)
from tritonpose_server.embedded.triton_command import Ports, triton_command
from tritonpose_server.engines.compiled import DIRECTORY_VARIABLE
from tritonpose_server.ports import bind, hold
from tritonpose_server.python_programs import isolated_python
from tritonpose_server.supervision import guardian
from tritonpose_server.supervision.cleanup import make_directory, remove_abandoned
from tritonpose_server.supervision.triton_watch import WatchSettings

LOGGER = logging.getLogger("tritonpose.server")


def hold_ports(options: ServerOptions) -> tuple[Ports, list[socket.socket]]:
    """Choose the ports that the options name, and free ones for the rest, and hold them.

    That of the metrics is not held, as Triton does not share it. Raises PortInUseError.
    """
    with ExitStack() as stack:
        # All at once, so that they differ.
        held = [
            stack.enter_context(hold(options.address, port))
            for port in (options.grpc_port, options.http_port)
        ]
        with bind(options.metrics_host, options.metrics_port) as metrics:
            ports = Ports(*(each.getsockname()[1] for each in (*held, metrics)))
        stack.pop_all()
    return ports, held


def launch(
    models: Sequence[Path],
    settings: PipelineSettings,
    options: ServerOptions,
    ports: Ports,
    held: Sequence[socket.socket],
) -> tuple[str, subprocess.Popen[bytes]]:
    """Put a server's files together and start its guardian, which starts tritonserver.

    ``models`` are directories, each named like its model; ``held`` sockets hold the ports. Returns
    the server's id and the guardian's process, whose output is a pipe. Raises
    TritonNotInstalledError if tritonserver or libpython is missing, EmbeddedServerError if the
    models and settings don't fit together.
    """
    triton, libpython = find_triton(), find_libpython_directory()
    for abandoned in remove_abandoned():
        LOGGER.info("removed the remains of a killed server: %s", abandoned)
    server_id = f"tritonpose-{secrets.token_hex(6)}"
    directory, lock = make_directory(server_id)
    try:
        stage_backends(triton, directory / "backends")
        models = stage_models(models, options.device, options.tuning, directory / "configured")
        models = link_repositories(models, directory / "repositories")
        stage_pipeline(directory / "models", models, settings, options.pipeline, options.hps)
        repositories, names = model_repositories(models), [model.name for model in models]
        command = triton_command(
            triton.binary, server_id, directory, repositories, names, options, ports
        )
        environment = triton_environment(triton, libpython, directory / "libraries")
        if options.compiled is not None:
            environment[DIRECTORY_VARIABLE] = str(options.compiled)
        # Python imports from the working directory, and the user's may hold anything.
        workplace = directory / "work"
        workplace.mkdir()
        watch = WatchSettings(f"{options.local_host}:{ports.http}", options.hang_timeout)
        environment[guardian.WATCH_VARIABLE] = json.dumps(asdict(watch))
        process = subprocess.Popen(
            [
                *(*isolated_python(), "-m", guardian.__name__),
                *(server_id, str(directory), str(options.stop_timeout + 5)),
                *command,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=workplace,
            pass_fds=[lock, *(each.fileno() for each in held)],
            # Ctrl-C in a terminal reaches this process alone, which then stops the server.
            start_new_session=True,
        )
    except BaseException:
        shutil.rmtree(directory)
        raise
    finally:
        # The server's processes hold it now.
        os.close(lock)
    return server_id, process
