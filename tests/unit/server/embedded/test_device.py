"""Devices as PaddleX names them, checks of GPUs, and the configurations of models for both."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelInstanceGroup

import quantizable_model
from tritonpose.errors import ConfigError
from tritonpose_pipeline.repository import CONFIG_FILE, ModelRepository, read_config
from tritonpose_server.embedded import device as gpus
from tritonpose_server.embedded.device import Device, count_gpus, require_gpus
from tritonpose_server.embedded.model_configs import configure_model, stage_models
from tritonpose_server.embedded.tuning import ModelTuning, Tuning
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models.precision import make_bf16
from tritonpose_server.models.store import ModelStore

CPU = Device()
CUDA = ["CUDAExecutionProvider", "CPUExecutionProvider"]
KIND_CPU, KIND_GPU = ModelInstanceGroup.KIND_CPU, ModelInstanceGroup.KIND_GPU


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("cpu", ()),
        ("CPU", ()),
        ("gpu", (0,)),
        ("gpu:0", (0,)),
        ("GPU:3", (3,)),
        ("gpu:0,1", (0, 1)),
        ("gpu:2,0,2", (2, 0)),
    ],
)
def test_devices(text: str, gpus: tuple[int, ...]) -> None:
    assert Device.parse(text) == Device(gpus)


@pytest.mark.parametrize("text", ["npu", "npu:0", "XPU:0,1", "mlu", "dcu:0", "metax_gpu:1"])
def test_devices_of_paddlex_that_triton_lacks(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Device.parse(text)
    assert str(caught.value) == (
        f"device {text!r}: models run on CPUs and NVIDIA GPUs here; choose cpu or gpu:0, or "
        "keep PaddleX for this device"
    )


@pytest.mark.parametrize("text", ["", "cuda", "cpu:0", "gpu:", "gpu:x", "gpu:0,", "gpu:-1", "npu:"])
def test_no_devices(text: str) -> None:
    with pytest.raises(ConfigError, match="expected cpu, gpu, gpu:0 or gpu:0,1"):
        Device.parse(text)


@pytest.mark.parametrize("text", ["cpu", "gpu:0", "gpu:0,2"])
def test_a_device_reads_as_it_is_written(text: str) -> None:
    assert str(Device.parse(text)) == text


def test_a_model_on_gpus(store: ModelStore) -> None:
    model = quantizable_model.install(store)
    config = read_config(model / CONFIG_FILE)
    configured = configure_model(config, Device((0, 2)))
    # The given one is not changed.
    assert config == read_config(model / CONFIG_FILE)
    assert configured.backend == "onnxruntime"
    assert list(configured.instance_group) == [
        ModelInstanceGroup(kind=KIND_GPU, count=1, gpus=[0, 2])
    ]
    # The rest is as it was: tensors, batching, and what the pipeline must know.
    configured.backend = config.backend
    del configured.instance_group[:]
    configured.instance_group.extend(config.instance_group)
    assert configured == config


def test_a_model_back_on_the_cpu(store: ModelStore) -> None:
    config = read_config(quantizable_model.install(store, backend="onnxruntime") / CONFIG_FILE)
    there_and_back = configure_model(configure_model(config, Device((1,))), CPU)
    assert there_and_back == config


def test_a_bf16_variant_stays_on_the_cpu(store: ModelStore) -> None:
    quantizable_model.install(store)
    config = read_config(make_bf16(store, "toy") / CONFIG_FILE)
    with pytest.raises(
        EmbeddedServerError, match=r"'toy-bf16' is a bf16 variant, .* instead of gpu:0"
    ):
        configure_model(config, Device((0,)))
    assert configure_model(config, CPU) == config


def test_models_are_placed_without_touching_the_store(store: ModelStore, tmp_path: Path) -> None:
    models = [quantizable_model.install(store, name) for name in ("one", "two")]
    files = {path: path.read_bytes() for path in store.root.rglob("*") if path.is_file()}
    target = tmp_path / "staging"
    placed = stage_models(models, Device((0,)), Tuning(), target)
    assert placed == [target / "one", target / "two"]
    left = {path: path.read_bytes() for path in store.root.rglob("*") if path.is_file()}
    assert left == files
    for servable, original in zip(placed, models, strict=True):
        assert read_config(servable / CONFIG_FILE).name == servable.name
        assert read_config(servable / CONFIG_FILE).instance_group[0].kind == KIND_GPU
        model = servable / "1" / "model.onnx"
        assert model.samefile(original / "1" / "model.onnx")
    # The pipeline finds what it must know of them.
    assert ModelRepository(target).names("keypoint") == ["one", "two"]


@pytest.mark.parametrize("device", [None, CPU])
def test_models_that_are_right_stay_where_they_are(
    store: ModelStore, tmp_path: Path, device: Device | None
) -> None:
    model = quantizable_model.install(store)
    assert stage_models([model], device, Tuning(), tmp_path / "staging") == [model]
    assert not (tmp_path / "staging").exists()


@pytest.mark.parametrize("groups", [[], [ModelInstanceGroup(kind=KIND_GPU, gpus=[0])]])
def test_a_model_that_would_compute_elsewhere_is_put_on_the_cpu(
    store: ModelStore, tmp_path: Path, groups: list[ModelInstanceGroup]
) -> None:
    model = quantizable_model.install(store)
    config = read_config(model / CONFIG_FILE)
    del config.instance_group[:]
    config.instance_group.extend(groups)
    (model / "config.pbtxt").write_text(text_format.MessageToString(config))
    assert stage_models([model], None, Tuning(), tmp_path / "staging") == [model]
    (placed,) = stage_models([model], CPU, Tuning(), tmp_path / "staging")
    assert placed == tmp_path / "staging" / "toy"
    placed_config = read_config(placed / CONFIG_FILE)
    assert list(placed_config.instance_group) == [ModelInstanceGroup(kind=KIND_CPU, count=1)]


def test_all_are_served_from_one_place_if_one_changes(store: ModelStore, tmp_path: Path) -> None:
    """A model that lay in two of the served folders would be refused."""
    models = [quantizable_model.install(store, name) for name in ("one", "two")]
    config = read_config(models[1] / CONFIG_FILE)
    del config.instance_group[:]
    (models[1] / "config.pbtxt").write_text(text_format.MessageToString(config))
    target = tmp_path / "staging"
    assert stage_models(models, CPU, Tuning(), target) == [target / "one", target / "two"]


def test_a_model_on_a_gpu_is_tuned(store: ModelStore, tmp_path: Path) -> None:
    models = [quantizable_model.install(store, name) for name in ("one", "two")]
    tuning = Tuning(keypoint_model=ModelTuning(instances=2))
    (placed,) = stage_models(models[:1], Device((0, 1)), tuning, tmp_path / "staging")
    (group,) = read_config(placed / CONFIG_FILE).instance_group
    assert (group.kind, group.count, list(group.gpus)) == (KIND_GPU, 2, [0, 1])
    # Models that stay on the CPU are not there.
    assert list((tmp_path / "staging").iterdir()) == [placed]


# --- what is missing for GPUs ---


@pytest.mark.parametrize(
    ("count", "providers", "wanted", "words"),
    [
        (2, CUDA, [0, 1], None),
        (0, [], [], None),
        (0, CUDA, [0], "no NVIDIA GPU is visible here"),
        (2, CUDA, [1, 2], "there is no GPU 2: 2 can be seen here"),
        (2, CUDA[1:], [0], "pip install 'onnxruntime-gpu[cuda,cudnn]'"),
    ],
)
def test_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    providers: list[str],
    wanted: list[int],
    words: str | None,
) -> None:
    monkeypatch.setattr(gpus, "count_gpus", lambda: count)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    if words is None:
        require_gpus(wanted)
        return
    with pytest.raises(EmbeddedServerError) as caught:
        require_gpus(wanted)
    message = str(caught.value)
    assert words in message
    assert "--device cpu" in message
    assert "\n" not in message


def output_of(*command: str, **environment: str) -> str:
    environment = {**os.environ, **environment}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_hidden_gpus_do_not_count() -> None:
    """True on machines with GPUs as on those without."""
    program = "from tritonpose_server.embedded.device import count_gpus; print(count_gpus())"
    assert output_of(sys.executable, "-c", program, CUDA_VISIBLE_DEVICES="").strip() == "0"


def test_visible_gpus_are_counted() -> None:
    command = "command -v nvidia-smi >/dev/null && nvidia-smi --list-gpus || true"
    assert count_gpus() == output_of("sh", "-c", command).count("GPU ")
