"""Where and how the local engine computes, in PaddleX's spelling."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tritonpose.errors import ConfigError
from tritonpose.extras import install_command
from tritonpose_server.embedded.device import Device, require_gpus

EngineName = Literal["openvino", "onnxruntime"]

_ENGINES: tuple[EngineName, ...] = ("openvino", "onnxruntime")

_PRECISIONS = {"fp32": "NO", "bf16": "YES"}

# Keys of `engine_config` that a model's parameters take, by the name of the parameter.
_NUMBERS = {"cpu_threads": "INFERENCE_NUM_THREADS", "streams": "NUM_STREAMS"}


@dataclass(frozen=True)
class LocalOptions:
    """What models run on.

    Attributes:
        engine: The inference engine.
        gpu: Number of the NVIDIA GPU; None for the CPU.
        parameters: Parameters of the engine, which replace those of the models' configurations.
        strict_models: Whether it is an error that an open model would stand in.
    """

    engine: EngineName
    gpu: int | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    strict_models: bool = False

    @classmethod
    def parse(
        cls,
        device: str | None = None,
        engine: str | None = None,
        engine_config: Mapping[str, Any] | None = None,
        *,
        strict_models: bool = False,
    ) -> LocalOptions:
        """Read arguments of ``create_pipeline``.

        Without an engine it is OpenVINO, where that is installed and computes on the device, else
        ONNX Runtime. ``engine_config`` may also be, as PaddleX takes it, a mapping of engines to
        such mappings. ConfigError: a value is wrong, or the engine or device can't be used here.
        EmbeddedServerError says what a GPU lacks.
        """
        gpu = _gpu(device)
        name = _engine(engine, gpu)
        if gpu is not None:
            require_gpus([gpu])
        return cls(name, gpu, _parameters(engine_config or {}, name), strict_models)


def is_installed(engine: str) -> bool:
    """Check whether the Python package of an engine is there, without importing it."""
    return importlib.util.find_spec(engine) is not None


def _gpu(device: str | None) -> int | None:
    # Also a torch.device; a number would be a GPU to PyTorch.
    gpus = Device.parse("cpu" if device is None else str(device)).gpus
    if len(gpus) > 1:
        raise ConfigError(
            f"device={device!r}: the local engine computes on one GPU; name one, or start a server "
            f"on all of them: tritonpose serve --device {device}"
        )
    return gpus[0] if gpus else None


def _engine(engine: str | None, gpu: int | None) -> EngineName:
    if engine is None:
        preferred = _ENGINES if gpu is None else ("onnxruntime",)
        found = next((name for name in preferred if is_installed(name)), None)
        if found is None:
            raise ConfigError(
                f"the local engine needs {' or '.join(preferred)}: {install_command('local')}"
            )
        return found
    for name in _ENGINES:
        if engine == name:
            if gpu is not None and name == "openvino":
                raise ConfigError("engine='openvino' computes on CPUs: use engine='onnxruntime'")
            if not is_installed(name):
                raise ConfigError(f"engine={engine!r} is not installed: pip install {engine}")
            return name
    raise ConfigError(
        f"engine={engine!r}: the local engine runs models as ONNX, on {' or '.join(_ENGINES)}"
    )


def _parameters(config: Mapping[str, Any], engine: EngineName) -> dict[str, str]:
    """Translate ``engine_config``."""
    if not isinstance(config, Mapping):
        raise ConfigError(f"engine_config={config!r}: expected a dict")
    if any(isinstance(value, Mapping) for value in config.values()):
        return _parameters(config.get(engine) or {}, engine)
    parameters = {}
    for key, value in config.items():
        if key in _NUMBERS:
            if isinstance(value, bool) or not re.fullmatch(r"[1-9]\d{0,3}", str(value)):
                raise ConfigError(
                    f"engine_config: {key}={value!r}: expected a whole number, 1 or more"
                )
            parameters[_NUMBERS[key]] = str(value)
        elif key == "precision":
            if value not in [*_PRECISIONS]:
                raise ConfigError(
                    f"engine_config: precision={value!r}: expected {' or '.join(_PRECISIONS)}"
                )
            if value != "fp32" and engine != "openvino":
                raise ConfigError(f"engine_config: precision={value!r} is for engine='openvino'")
            parameters["HINT_BF16"] = _PRECISIONS[value]
        else:
            raise ConfigError(
                f"engine_config: unknown key {key!r}; the local engine knows "
                f"{', '.join([*_NUMBERS, 'precision'])}"
            )
    return parameters
