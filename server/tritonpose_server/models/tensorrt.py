"""Builds TensorRT engines of models with NVIDIA's polygraphy: ``scripts/build_engines``."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from tritonpose.cli.console import exit_status, print_error, print_status
from tritonpose.cli.parsing import whole_number
from tritonpose.whole_files import whole_file
from tritonpose_server.embedded.device import require_visible, visible_devices
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models import triton_config
from tritonpose_server.models.calibration import calibration_inputs
from tritonpose_server.models.catalog import DEFAULT_DETECTOR, STAND_INS
from tritonpose_server.models.commands import default_store
from tritonpose_server.models.graph import onnx_graph
from tritonpose_server.models.graph.engine_graph import EnginePrecision, engine_graph
from tritonpose_server.models.open_models.install import install_open_models
from tritonpose_server.models.precision import read_base
from tritonpose_server.models.store import ModelStore, Progress, config_path

NO_GPU = 3
"""Exit status where there is no GPU or no TensorRT."""

# What one image with a group of people brings; smaller and larger batches run as well.
_OPT_BATCH = 8

_INSTEAD = "or serve models on the CPU, or run this where the engines are to be used"


@dataclass(frozen=True)
class EngineOptions:
    """How engines are built.

    ``calibration`` are image files and directories for ``int8``; ``detector`` finds the people in
    them for a keypoint model. ``max_batch`` is None for the model's; ``workspace_mib`` is the GPU
    memory in MiB that a layer may take, None for all.
    """

    precision: EnginePrecision = "fp16"
    calibration: Sequence[Path] = ()
    detector: str = DEFAULT_DETECTOR
    max_batch: int | None = None
    workspace_mib: int | None = None


def use_gpu(number: int) -> None:
    """Make a GPU, from 0 among those visible, the only one; CUDA must not be initialized yet."""
    os.environ["CUDA_VISIBLE_DEVICES"] = visible_devices(number, os.environ)
    require_visible([0], _INSTEAD)


def network_and_config(
    graph: onnx.ModelProto, max_batch: int, workspace_mib: int | None = None
) -> tuple[Any, Any]:
    """Return polygraphy's loaders of an engine's network and of how it is built.

    Types of the graph's tensors are the precisions to compute in; its input is ``image``. Batches
    are 1 to ``max_batch``; a layer may take ``workspace_mib`` MiB of GPU memory, None for all.
    """
    from polygraphy.backend.trt import CreateConfig, NetworkFromOnnxBytes, Profile

    shape = onnx_graph.tensor_shape(graph.graph.input[0])[1:]
    batches = (1, min(_OPT_BATCH, max_batch), max_batch)
    profile = Profile()
    profile.add("image", *((batch, *shape) for batch in batches))
    limits = None
    if workspace_mib is not None:
        import tensorrt

        limits = {tensorrt.MemoryPoolType.WORKSPACE: workspace_mib << 20}
    # Strongly typed: layers compute in the types of the graph, as TensorRT always does since 11.
    network = NetworkFromOnnxBytes(graph.SerializeToString(), strongly_typed=True)
    # The mantissa of TF32 has ten bits: FP32 is to be FP32.
    return network, CreateConfig(tf32=False, profiles=[profile], memory_pool_limits=limits)


def build_plan(
    graph: onnx.ModelProto, max_batch: int, workspace_mib: int | None
) -> tuple[bytes, str]:
    """Build an engine on the first visible GPU, or raise `EmbeddedServerError`.

    It is returned serialized, with the version of TensorRT. For arguments see `network_and_config`.
    """
    import tensorrt
    from polygraphy.backend.trt import EngineBytesFromNetwork
    from polygraphy.exception import PolygraphyException
    from polygraphy.logger import G_LOGGER

    # Standard output is for the paths of the engines.
    G_LOGGER.module_severity = G_LOGGER.ERROR
    try:
        plan = EngineBytesFromNetwork(*network_and_config(graph, max_batch, workspace_mib))()
    except PolygraphyException as error:
        raise EmbeddedServerError(
            f"TensorRT {tensorrt.__version__} can't build the engine: {error}"
        ) from error
    return bytes(plan), str(tensorrt.__version__)


def build_engine(
    store: ModelStore,
    name: str,
    options: EngineOptions,
    progress: Progress,
    build: Callable[[onnx.ModelProto, int, int | None], tuple[bytes, str]] = build_plan,
) -> Path:
    """Build a model's ``1/model.plan`` and ``configs/tensorrt.pbtxt``; return the plan's path.

    One that exists is replaced. The model must not be a variant.
    """
    base = read_base(store, name)
    max_batch = options.max_batch or base.config.max_batch_size
    # Checks the largest batch before minutes of work.
    triton_config.tensorrt_config(base.config, max_batch, {})
    inputs = None
    if options.precision == "int8":
        inputs = calibration_inputs(store, name, options.calibration, options.detector)
        progress(f"{name}: calibrating with {len(inputs)} inputs")
    elif options.calibration:
        raise EmbeddedServerError(f"{options.precision} needs no calibration images")
    graph = engine_graph(onnx_graph.load_model(base.model), options.precision, inputs or ())
    progress(f"{name}: building the {options.precision} engine, which takes minutes")
    plan, version = build(graph, max_batch, options.workspace_mib)
    facts = {"precision": options.precision, "tensorrt": version}
    configs = {
        triton_config.ONNXRUNTIME: triton_config.onnxruntime_config(base.config),
        triton_config.TENSORRT: triton_config.tensorrt_config(base.config, max_batch, facts),
    }
    # Whole files, for servers that load them meanwhile. The plan first: a configuration without it
    # can't be loaded.
    target = base.model.with_name(triton_config.PLAN_FILE)
    with whole_file(target) as file:
        file.write(plan)
    for config_name, config in configs.items():
        with whole_file(config_path(store.path(name), config_name)) as file:
            file.write(triton_config.config_text(config).encode())
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``scripts/build_engines``.

    The exit status is that of ``tritonpose.cli.console.exit_status``; 3 without a GPU or TensorRT.
    """
    options = _parser().parse_args(arguments)
    return exit_status(lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    try:
        use_gpu(options.gpu)
        if importlib.util.find_spec("tensorrt") is None:
            raise EmbeddedServerError(
                f"TensorRT is not installed in {sys.prefix}: install the version of the Triton "
                f"that is to load the engines, `{sys.executable} -m pip install "
                "tensorrt-cu13==VERSION` (docs/run/gpu.md says how to find it)"
            )
    except EmbeddedServerError as error:
        print_error(str(error))
        return NO_GPU
    store = default_store()
    install_open_models(options.names, store, print_status)
    engine = EngineOptions(
        precision=options.precision,
        calibration=options.calibration,
        detector=options.detector,
        max_batch=options.max_batch,
        workspace_mib=options.workspace,
    )
    for name in options.names:
        print(build_engine(store, name, engine, print_status))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/build_engines",
        description="Build TensorRT engines of installed models, on the kind of GPU and with the "
        "version of TensorRT that will run them. Exit status 3: there is no GPU or no TensorRT.",
    )
    add = parser.add_argument
    add(
        "names",
        nargs="*",
        metavar="NAME",
        default=list(STAND_INS.values()),
        help="models, as `tritonpose models list` shows them (default: the open ones)",
    )
    add("--precision", choices=("fp16", "fp32", "int8"), default="fp16", help="(default: fp16)")
    add(
        "--calibration",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="for int8: photos like those to be served, files or directories",
    )
    add(
        "--detector",
        default=DEFAULT_DETECTOR,
        metavar="NAME",
        help="finds the people in them, for a keypoint model (default: %(default)s)",
    )
    add(
        "--max_batch",
        type=whole_number(),
        metavar="N",
        help="largest batch (default: the model's, which is also the smallest allowed)",
    )
    add(
        "--workspace",
        type=whole_number(),
        metavar="MIB",
        help="GPU memory that a layer may take while computing (default: all)",
    )
    add("--gpu", type=whole_number(0), default=0, metavar="N", help="GPU to build on (default: 0)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
