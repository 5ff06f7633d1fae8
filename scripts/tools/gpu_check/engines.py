"""What can compute a model on this machine."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx

from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models.graph.engine_graph import EnginePrecision, engine_graph

Images = npt.NDArray[np.uint8]
Outputs = list[npt.NDArray[np.float32]]


class Runner(Protocol):
    """A model that is ready to run."""

    def run(self, images: Images) -> Outputs:
        """Run a batch: uint8 ``[batch, h, w, 3]`` RGB to the model's outputs."""
        ...


@dataclass(frozen=True)
class Model:
    """A model to try.

    Attributes:
        name: Its name.
        path: The ONNX file.
        model: What is in it.
        max_batch: Largest batch that is tried.
    """

    name: str
    path: Path
    model: onnx.ModelProto
    max_batch: int


@dataclass(frozen=True)
class Engine:
    """One way to compute models.

    Attributes:
        name: For the report.
        precision: What it computes in.
        load: Makes a model ready; raises whatever the engine raises.
    """

    name: str
    precision: EnginePrecision
    load: Callable[[Model], Runner]


_CPU = ("CPUExecutionProvider", dict[str, str]())


class _Calls:
    """A runner made of a function."""

    def __init__(self, run: Callable[[Images], Outputs]) -> None:
        self.run = run


def reference(model: Model) -> Runner:
    """The model on the CPU, in FP32, with ONNX Runtime."""
    return _onnxruntime(model.path, [_CPU])


def cpu_engines() -> list[Engine]:
    """Engines for the CPU that are installed."""
    engines = []
    if _installed("openvino"):
        engines.append(Engine("OpenVINO, CPU", "fp32", _openvino))
    if _installed("torch"):
        engines += _torch_engines("PyTorch, CPU", "cpu")
    return engines


def gpu_engines(gpu: int) -> list[Engine]:
    """Engines for GPUs that are installed.

    Args:
        gpu: Number of the GPU to use.
    """
    import onnxruntime

    engines = []
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        engines.append(Engine("ONNX Runtime, CUDA", "fp32", lambda model: _cuda(model, gpu)))
    if _installed("torch"):
        engines += _torch_engines("PyTorch, CUDA", f"cuda:{gpu}")
    if _installed("tensorrt"):
        engines += [_tensorrt_engine("fp32", gpu), _tensorrt_engine("fp16", gpu)]
    return engines


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _onnxruntime(path: Path, providers: Sequence[tuple[str, dict[str, str]]]) -> Runner:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=list(providers))
    # Where a GPU can't be used, ONNX Runtime takes the CPU with no more than a warning.
    if providers[0][0] not in session.get_providers():
        raise EmbeddedServerError(
            "ONNX Runtime took the CPU: libraries of CUDA or cuDNN are missing, or the driver is "
            "too old for them (its warnings are above)"
        )
    return _Calls(lambda images: list(session.run(None, {"image": images})))


def _cuda(model: Model, gpu: int) -> Runner:
    import onnxruntime

    onnxruntime.preload_dlls()
    # As the backend `onnxruntime` does.
    options = {"device_id": str(gpu), "cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
    return _onnxruntime(model.path, [("CUDAExecutionProvider", options), _CPU])


def _openvino(servable: Model) -> Runner:
    openvino: Any = importlib.import_module("openvino")
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(servable.path), "CPU", settings)
    names = [tensor.name for tensor in servable.model.graph.output]

    def run(images: Images) -> Outputs:
        results = compiled({"image": images})
        return [np.array(results[name]) for name in names]

    return _Calls(run)


def _torch_engines(name: str, device: str) -> list[Engine]:
    def engine(precision: EnginePrecision) -> Engine:
        return Engine(name, precision, lambda model: _torch(model, precision, device))

    return [engine("fp32"), engine("fp16")]


def _torch(servable: Model, precision: EnginePrecision, device: str) -> Runner:
    torch: Any = importlib.import_module("torch")
    from tools.gpu_check.torch_graph import TorchGraph

    # FP32 is to be FP32, and the results of every batch size the same.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return TorchGraph(torch, engine_graph(servable.model, precision), device)


def _tensorrt_engine(precision: EnginePrecision, gpu: int) -> Engine:
    def load(servable: Model) -> Runner:
        from tools.gpu_check.tensorrt_engine import TensorRtEngine

        trt: Any = importlib.import_module("tensorrt")
        return TensorRtEngine(trt, engine_graph(servable.model, precision), servable.max_batch, gpu)

    return Engine("TensorRT", precision, load)
