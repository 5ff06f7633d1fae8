"""The command ``scripts/gpu_check``."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tritonpose.cli.console import FAILED, exit_status, print_error, print_status
from tritonpose_server.embedded.gpus import count_gpus, require_visible
from tritonpose_server.errors import EmbeddedServerError

if TYPE_CHECKING:
    from tools.gpu_check.engines import Model

NO_GPU = 3
"""Exit status where there is no GPU to check."""

_DEVICE = re.compile(r"cpu|gpu(?::(?P<number>\d+))?")

_DEFAULT_NAMES = ["NanoDet_person_416", "MoveNet-Thunder_256x192"]

_LARGEST_BATCH = 32

_PACKAGES = (
    "onnxruntime-gpu",
    "onnxruntime",
    "openvino",
    "torch",
    "tensorrt-cu12",
    "tensorrt-cu13",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: Command line without the program's name; default: that of the process.

    Returns:
        0 where all engines agree with the CPU, 1 where one does not or fails, 2 for a wrong
        command line, 3 without a GPU.
    """
    options = _parser().parse_args(arguments)
    return exit_status(lambda: _run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/gpu_check",
        description="Run models on a GPU with every engine that is installed, compare their "
        "results with those of ONNX Runtime on the CPU, and measure their speed. Exit status 3: "
        "there is no GPU.",
    )
    add = parser.add_argument
    add(
        "models",
        nargs="*",
        default=_DEFAULT_NAMES,
        metavar="MODEL",
        help="installed models by name, or model.onnx files (default: the open models)",
    )
    add("--device", type=_device, default=0, help="gpu (default), gpu:1 or cpu")
    add("--batches", type=_batches, default=[1, 2, 4, 8, 16, 32], metavar="N,N,...")
    add("--seconds", type=float, default=2.0, help="time for each batch size (default: 2)")
    add("--json", type=Path, metavar="FILE", help="write everything there")
    add("--markdown", type=Path, metavar="FILE", help="write the printed table there, too")
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.device is not None:
        try:
            require_visible([options.device], "or use --device cpu to try the check itself")
        except EmbeddedServerError as error:
            print_error(str(error))
            return NO_GPU
    # Only now: a machine without a GPU need not have any of this.
    from tools.gpu_check.engines import cpu_engines, gpu_engines
    from tools.gpu_check.report import as_json, as_markdown
    from tools.gpu_check.trials import try_engines

    engines = cpu_engines() if options.device is None else gpu_engines(options.device)
    if not engines:
        raise EmbeddedServerError(
            "no engine for this device is installed: one of onnxruntime-gpu[cuda,cudnn], torch or "
            "tensorrt-cu13 is needed for a GPU, openvino or torch for the CPU"
        )
    trials = []
    for model in options.models:
        servable = _model(model)
        trials += try_engines(servable, engines, options.batches, options.seconds, print_status)
    machine = _machine(options.device)
    table = as_markdown(trials, machine)
    print(table)
    if options.json is not None:
        options.json.write_text(as_json(trials, machine), "utf-8")
    if options.markdown is not None:
        options.markdown.write_text(table + "\n", "utf-8")
    return 0 if all(trial.passed for trial in trials) else FAILED


def _model(model: str) -> Model:
    from tools.gpu_check.engines import Model
    from tritonpose_server.models.graph.onnx_graph import load_model, tensor_shape
    from tritonpose_server.models.store import cache_home

    path = Path(model)
    name = path.stem
    if path.suffix != ".onnx":
        name = model
        path = cache_home() / "models" / model / "1" / "model.onnx"
        if not path.exists() and name in _DEFAULT_NAMES:
            _install(name)
        if not path.exists():
            raise EmbeddedServerError(
                f"no model {model!r} is installed ({path} is missing): run `tritonpose models "
                f"install {model}`, or name a model.onnx file"
            )
    graph = load_model(path)
    batch = tensor_shape(graph.graph.input[0])[0]
    return Model(name, path, graph, batch if isinstance(batch, int) else _LARGEST_BATCH)


def _install(name: str) -> None:
    """Fetch and convert an open model, where the packages for that are installed."""
    try:
        from tritonpose_server.models.open_models.install import install_open_models
    except ImportError:
        return
    from tritonpose_server.models.store import ModelStore, cache_home

    store = ModelStore(cache_home() / "models")
    install_open_models([name], cache_home() / "downloads", store, print_status)


def _machine(gpu: int | None) -> dict[str, str]:
    """What ran, for the report."""
    installed = {
        distribution.name: distribution.version
        for distribution in importlib.metadata.distributions()
    }
    facts = {"Python": platform.python_version()}
    facts |= {package: installed[package] for package in _PACKAGES if package in installed}
    return {**facts, "GPU": _gpu_name(gpu)} if gpu is not None else facts


def _gpu_name(gpu: int) -> str:
    query = [
        "nvidia-smi",
        f"--id={gpu}",
        "--query-gpu=name,driver_version",
        "--format=csv,noheader",
    ]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return f"number {gpu} of {count_gpus()}"
    return answer.stdout.strip().replace(", ", ", driver ")


def _device(text: str) -> int | None:
    """Number of a GPU, None for the CPU."""
    match = _DEVICE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not cpu, gpu or gpu:N")
    return None if text == "cpu" else int(match["number"] or 0)


def _batches(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdecimal() and 1 <= int(part) <= _LARGEST_BATCH for part in parts):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of batch sizes from 1 to {_LARGEST_BATCH}, such as 1,8,32"
        )
    return sorted({int(part) for part in parts})


if __name__ == "__main__":
    sys.exit(main())
