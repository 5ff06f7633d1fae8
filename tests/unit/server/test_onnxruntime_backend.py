"""ONNX Runtime: where it computes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import quantizable_model
from tritonpose_server.engines.engine import EngineConfig, EngineConfigError
from tritonpose_server.engines.onnxruntime import load_onnxruntime
from tritonpose_server.models.store import ModelStore

SHAPE = (2, quantizable_model.HEIGHT, quantizable_model.WIDTH, 3)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return quantizable_model.install(ModelStore(tmp_path), backend="onnxruntime")


def model_config(model: Path, kind: str, device: int, **parameters: str) -> EngineConfig:
    arguments = quantizable_model.triton_arguments(model, kind, device, **parameters)
    return EngineConfig.from_triton(arguments)


class CudaSession:
    """A session that says it computes on a GPU, and computes on the CPU."""

    providers: Sequence[Any] = ()

    def __init__(self, path: str, options: object, providers: Sequence[Any]) -> None:
        type(self).providers = providers
        self._session = onnxruntime_session(path, options, providers=["CPUExecutionProvider"])

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


onnxruntime_session = onnxruntime.InferenceSession


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> type[CudaSession]:
    monkeypatch.setattr(onnxruntime, "InferenceSession", CudaSession)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    return CudaSession


@pytest.mark.parametrize(("kind", "gpu"), [("CPU", None), ("GPU", 1)])
def test_the_kind_of_an_instance_decides(model: Path, kind: str, gpu: int | None) -> None:
    assert model_config(model, kind, 1).gpu == gpu


def test_an_instance_computes_on_its_own_gpu(model: Path, cuda: type[CudaSession]) -> None:
    loaded = load_onnxruntime(model_config(model, "GPU", 1))
    (name, options), fallback = cuda.providers
    assert (name, options["device_id"], fallback) == (
        "CUDAExecutionProvider",
        "1",
        "CPUExecutionProvider",
    )
    # Full FP32, and no search of most of a second for each new batch size.
    assert (options["use_tf32"], options["cudnn_conv_algo_search"]) == ("0", "HEURISTIC")
    image = np.random.default_rng(1).integers(0, 256, SHAPE, np.uint8)
    (heatmap,) = loaded.run({"image": image})
    assert heatmap.shape == (2, 17, SHAPE[1] // 4, SHAPE[2] // 4)


@pytest.mark.parametrize(("parameters", "streams"), [({}, 2), ({"NUM_STREAMS": "5"}, 5)])
@pytest.mark.usefixtures("cuda")
def test_streams_of_a_gpu_do_not_depend_on_the_cores(
    model: Path, parameters: dict[str, str], streams: int
) -> None:
    config = model_config(model, "GPU", 0, **parameters)
    assert load_onnxruntime(config).streams == streams


@pytest.mark.parametrize(
    ("parameters", "streams", "threads"),
    [
        ({}, 4, 5),
        ({"INFERENCE_NUM_THREADS": "2", "NUM_STREAMS": "2"}, 2, 1),
        ({"INFERENCE_NUM_THREADS": "6", "NUM_STREAMS": "2"}, 2, 5),
        ({"INFERENCE_NUM_THREADS": "6", "intra_op_thread_count": "1"}, 4, 1),
    ],
)
def test_threads_of_all_streams_together(
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    parameters: dict[str, str],
    streams: int,
    threads: int,
) -> None:
    asked: list[onnxruntime.SessionOptions] = []

    def session(path: str, options: onnxruntime.SessionOptions, **further: Any) -> Any:
        asked.append(options)
        return onnxruntime_session(path, options, **further)

    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    found = load_onnxruntime(model_config(model, "CPU", 0, **parameters))
    assert (found.streams, asked[0].intra_op_num_threads) == (streams, threads)


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(),
    reason="this ONNX Runtime computes on GPUs",
)
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_gpu_that_can_not_be_used_is_no_reason_to_take_the_cpu(model: Path) -> None:
    with pytest.raises(EngineConfigError, match="can't compute on GPU 3: it needs onnxruntime-gpu"):
        load_onnxruntime(model_config(model, "GPU", 3))
