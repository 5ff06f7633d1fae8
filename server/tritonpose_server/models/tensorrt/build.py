"""Builds the TensorRT engine of an installed model and puts it in place."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from tritonpose_server.embedded.gpus import require_visible, visible_devices
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models import gpu_config
from tritonpose_server.models.graph import onnx_graph
from tritonpose_server.models.graph.engine_graph import EnginePrecision, engine_graph
from tritonpose_server.models.open_models.catalog import DEFAULT_DETECTOR
from tritonpose_server.models.paddle.tool_process import run_tool
from tritonpose_server.models.precision import BareModel, read_base
from tritonpose_server.models.store import CONFIG_FILE, ModelStore, config_path
from tritonpose_server.models.tensorrt.worker import FACTS_PREFIX, Job
from tritonpose_server.models.variants import calibration_inputs

Progress = Callable[[str], None]

# What one image with a group of people brings; smaller and larger batches run as well.
_OPT_BATCH = 8

_TIMEOUT_S = 3600.0

_INSTEAD = "or serve models on the CPU, or run this where the engines are to be used"


@dataclass(frozen=True)
class EngineOptions:
    """How engines are built.

    Attributes:
        precision: ``fp16``, ``fp32``, or ``int8`` with calibration images.
        calibration: Image files and directories, for ``int8``.
        detector: Finds the persons in them for a keypoint model; None for the open detector.
        max_batch: Largest batch, None for the model's.
        workspace_mib: GPU memory that a layer may take, None for all.
        gpu: Number of the GPU to build on and for.
    """

    precision: EnginePrecision = "fp16"
    calibration: Sequence[Path] = ()
    detector: str | None = None
    max_batch: int | None = None
    workspace_mib: int | None = None
    gpu: int = 0


def require_builder(gpu: int) -> None:
    """Check that engines can be built here.

    Args:
        gpu: Number of the GPU to build on.

    Raises:
        EmbeddedServerError: There is no such GPU, or TensorRT is not installed.
    """
    require_visible([gpu], _INSTEAD)
    if importlib.util.find_spec("tensorrt") is None:
        raise EmbeddedServerError(
            f"TensorRT is not installed in {sys.prefix}: install the version of the Triton that is "
            f"to load the engines, `{sys.executable} -m pip install tensorrt-cu13==VERSION` "
            "(docs/gpu.md says how to find it)"
        )


def build_engine(store: ModelStore, name: str, options: EngineOptions, progress: Progress) -> Path:
    """Build the engine of a model: ``1/model.plan`` and ``configs/tensorrt.pbtxt``.

    Args:
        store: Where models are kept.
        name: The model.
        options: How to build it.
        progress: Called with lines for the user.

    Returns:
        The plan; one that exists is replaced.

    Raises:
        ConversionError: The model is not installed, is a variant, or can't be converted.
        InputError: A calibration file can't be read or is no image.
        EmbeddedServerError: TensorRT can't build it, or calibration images are missing.
    """
    base = read_base(store, name)
    servable = onnx_graph.load_model(base.model)
    config_text = (store.path(name) / CONFIG_FILE).read_text("utf-8")
    max_batch = options.max_batch or base.config.max_batch_size
    gpu_config.check_max_batch_size(base.config, max_batch)
    graph = _graph(store, base, servable, options, progress)
    with tempfile.TemporaryDirectory(prefix="tritonpose-engine-") as work:
        source, plan = Path(work) / "model.onnx", Path(work) / gpu_config.PLAN_FILE
        onnx.save(graph, source)
        job = Job(
            graph=str(source),
            plan=str(plan),
            shape=image_shape(servable),
            opt_batch=min(_OPT_BATCH, max_batch),
            max_batch=max_batch,
            workspace_mib=options.workspace_mib,
        )
        progress(f"{name}: building the {options.precision} engine, which takes minutes")
        facts = _run_worker(job, options.gpu, progress)
        content = plan.read_bytes()
    texts = {
        gpu_config.ONNXRUNTIME: gpu_config.onnxruntime_config(config_text),
        gpu_config.TENSORRT: gpu_config.tensorrt_config(
            config_text, max_batch, {"precision": options.precision, **facts}
        ),
    }
    # The plan first: a configuration without it can't be loaded.
    target = base.model.with_name(gpu_config.PLAN_FILE)
    _replace(target, content)
    for config_name, text in texts.items():
        _replace(config_path(store.path(name), config_name), text.encode())
    return target


def image_shape(model: onnx.ModelProto) -> tuple[int, int, int]:
    """Height, width and channels of a model's input."""
    height, width, channels = onnx_graph.tensor_shape(model.graph.input[0])[1:]
    return int(height or 0), int(width or 0), int(channels or 0)


def _graph(
    store: ModelStore,
    base: BareModel,
    model: onnx.ModelProto,
    options: EngineOptions,
    progress: Progress,
) -> onnx.ModelProto:
    if options.precision != "int8":
        if options.calibration:
            raise EmbeddedServerError(f"{options.precision} needs no calibration images")
        return engine_graph(model, options.precision)
    detector = options.detector or DEFAULT_DETECTOR
    inputs = calibration_inputs(store, base.name, options.calibration, detector)
    progress(f"{base.name}: calibrating with {len(inputs)} inputs")
    return engine_graph(model, "int8", inputs)


def _run_worker(job: Job, gpu: int, progress: Progress) -> Mapping[str, str]:
    """Build an engine in a process of its own; the facts that it tells."""
    outcome = run_tool(
        "TensorRT",
        [sys.executable, "-m", "tritonpose_server.models.tensorrt.worker"],
        timeout_s=_TIMEOUT_S,
        on_line=lambda line: None if line.startswith(FACTS_PREFIX) else progress(f"  {line}"),
        stdin=job.to_json(),
        environment={"CUDA_VISIBLE_DEVICES": visible_devices(gpu, os.environ)},
    )
    lines = outcome.output.splitlines()
    if outcome.status != 0:
        reason = next((line for line in reversed(lines) if line.startswith("error: ")), None)
        raise EmbeddedServerError(
            reason.removeprefix("error: ")
            if reason
            else f"TensorRT ended with status {outcome.status}. {outcome.last_lines()}"
        )
    facts = next(line for line in reversed(lines) if line.startswith(FACTS_PREFIX))
    return dict(json.loads(facts.removeprefix(FACTS_PREFIX)))


def _replace(path: Path, content: bytes) -> None:
    """Write a file as a whole: a server that loads it meanwhile sees the old or the new one."""
    path.parent.mkdir(exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.replace(path)
