"""Where the models of an embedded server compute, named as PaddleX names devices.

The models in the user's store stay as they are: a model that is to compute elsewhere than its
configuration says is served from a directory of its own, with the same model files and a
configuration made for the device.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from tritonpose.errors import ConfigError
from tritonpose_server.embedded.model_view import read_config, write_model_view
from tritonpose_server.errors import EmbeddedServerError

_NVIDIA = re.compile(r"gpu(?::(?P<numbers>\d+(?:,\d+)*))?", re.IGNORECASE)
_OTHER_ACCELERATORS = re.compile(
    r"(npu|xpu|mlu|gcu|dcu|iluvatar_gpu|metax_gpu)(:\d+(,\d+)*)?", re.IGNORECASE
)


@dataclass(frozen=True)
class Device:
    """A device, or several of one kind.

    Attributes:
        gpus: Numbers of NVIDIA GPUs, from 0; none for the CPU.
    """

    gpus: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Device:
        """Read a device as PaddleX writes it.

        Args:
            text: ``cpu``, ``gpu`` (the first one), ``gpu:1`` or ``gpu:0,1``, in any case.

        Raises:
            ConfigError: It is something else, or a device that no embedded server computes on.
        """
        if text.lower() == "cpu":
            return cls()
        match = _NVIDIA.fullmatch(text)
        if match:
            numbers = (match["numbers"] or "0").split(",")
            return cls(tuple(dict.fromkeys(map(int, numbers))))
        if _OTHER_ACCELERATORS.fullmatch(text):
            raise ConfigError(
                f"device {text!r}: Triton computes on CPUs and NVIDIA GPUs; choose cpu or gpu:0, "
                "or keep PaddleX for this device"
            )
        raise ConfigError(f"device {text!r}: expected cpu, gpu, gpu:0 or gpu:0,1")

    def __str__(self) -> str:
        return f"gpu:{','.join(map(str, self.gpus))}" if self.gpus else "cpu"


def configure_model(config: ModelConfig, device: Device) -> ModelConfig:
    """Make a model's configuration for a device.

    Args:
        config: The configuration that it has; not changed.
        device: Where it is to compute.

    Returns:
        A copy with one instance on the CPU or on each of the GPUs. OpenVINO computes on no NVIDIA
        GPU, so there the backend is ONNX Runtime.

    Raises:
        EmbeddedServerError: The model is made for CPUs.
    """
    configured = ModelConfig()
    configured.CopyFrom(config)
    del configured.instance_group[:]
    if not device.gpus:
        configured.instance_group.add(kind=ModelInstanceGroup.KIND_CPU, count=1)
        return configured
    if _computes_bf16(config):
        raise EmbeddedServerError(
            f"model {config.name!r} is a bf16 variant, which is for CPUs: name the model that it "
            f"was made from, or use --device cpu instead of {device}"
        )
    configured.backend = "onnxruntime"
    configured.instance_group.add(kind=ModelInstanceGroup.KIND_GPU, count=1, gpus=list(device.gpus))
    return configured


def _computes_bf16(config: ModelConfig) -> bool:
    # Asking for a parameter that is missing would add it.
    hint = "HINT_BF16"
    return hint in config.parameters and config.parameters[hint].string_value.upper() == "YES"


def place_models(models: Iterable[Path], device: Device | None, target: Path) -> list[Path]:
    """Make models compute on a device.

    Args:
        models: Model directories, each named like its Triton model.
        device: Where they are to compute; None for where their configurations say.
        target: Directory for those whose configurations say otherwise; made where needed.

    Returns:
        The directories to serve, in the same order: the given ones where they fit.

    Raises:
        EmbeddedServerError: A model can't compute there.
    """
    if device is None:
        return list(models)
    return [_place_model(model, device, target) for model in models]


def _place_model(model: Path, device: Device, target: Path) -> Path:
    config = read_config(model)
    kinds = {group.kind for group in config.instance_group}
    if not device.gpus and kinds == {ModelInstanceGroup.KIND_CPU}:
        return model
    return write_model_view(model, configure_model(config, device), target)
