"""What an inference engine gets and must offer to serve a model.

It gets the configuration that Triton passes to a backend, and checks the model that it loads
against that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]

_NUMPY_TYPES: dict[str, type[np.generic]] = {
    "TYPE_UINT8": np.uint8,
    "TYPE_INT8": np.int8,
    "TYPE_INT32": np.int32,
    "TYPE_INT64": np.int64,
    "TYPE_FP16": np.float16,
    "TYPE_FP32": np.float32,
    "TYPE_FP64": np.float64,
}


class EngineConfigError(Exception):
    """A model's configuration can't be served; the message names model, key and fix."""


@dataclass(frozen=True)
class TensorConfig:
    """A tensor as configured; ``dims`` is without the batch dimension, -1 for any size."""

    name: str
    dtype: npt.DTypeLike
    dims: tuple[int, ...]


@dataclass(frozen=True)
class EngineConfig:
    """A model as configured, an ONNX file; parameters in capitals are the engine's.

    ``gpu`` is the number of the NVIDIA GPU to compute on, None for the CPU.
    """

    name: str
    path: Path
    max_batch_size: int
    inputs: tuple[TensorConfig, ...]
    outputs: tuple[TensorConfig, ...]
    parameters: Mapping[str, str]
    gpu: int | None = None

    @classmethod
    def from_triton(cls, args: Mapping[str, str]) -> EngineConfig:
        """Read the arguments of ``TritonPythonModel.initialize``.

        Raises EngineConfigError if the configuration asks for what these backends don't do.
        """
        config = json.loads(args["model_config"])
        name = config["name"]
        max_batch_size = int(config.get("max_batch_size", 0))
        if max_batch_size < 1:
            raise EngineConfigError(
                f"model {name!r}: max_batch_size must be at least 1, it is {max_batch_size}"
            )
        filename = config.get("default_model_filename") or "model.onnx"
        path = Path(args["model_repository"]) / args["model_version"] / filename
        if not path.exists():
            raise EngineConfigError(f"model {name!r}: {path} is missing")
        return cls(
            name=name,
            path=path,
            max_batch_size=max_batch_size,
            inputs=tuple(_tensor(name, tensor) for tensor in config["input"]),
            outputs=tuple(_tensor(name, tensor) for tensor in config["output"]),
            parameters={
                key: value["string_value"] for key, value in config.get("parameters", {}).items()
            },
            gpu=(
                int(args["model_instance_device_id"])
                if args.get("model_instance_kind") == "GPU"
                else None
            ),
        )

    def positive_integer(self, key: str) -> int | None:
        """Read a positive integer; None if absent or ``AUTO``, else EngineConfigError."""
        text = self.parameters.get(key, "AUTO")
        if text.upper() == "AUTO":
            return None
        if not text.isdecimal() or int(text) < 1:
            raise EngineConfigError(
                f"model {self.name!r}: parameter {key} must be a positive integer or AUTO, "
                f"it is {text!r}"
            )
        return int(text)

    def flag(self, key: str) -> bool:
        """Read a parameter that is ``YES`` or ``NO``, the default; else EngineConfigError."""
        text = self.parameters.get(key, "NO").upper()
        if text not in ("YES", "NO"):
            raise EngineConfigError(
                f"model {self.name!r}: parameter {key} must be YES or NO, it is {text!r}"
            )
        return text == "YES"


class LoadedModel(Protocol):
    """A model that is ready to run. Safe to use from several threads."""

    @property
    def streams(self) -> int:
        """Return how many batches it runs at the same time; further ones wait."""
        ...

    def run(self, inputs: Mapping[str, Array]) -> Sequence[Array]:
        """Run a batch: inputs by name, outputs in the configuration's order, ``[B, ...]`` each."""
        ...


Engine = Callable[[EngineConfig], LoadedModel]
"""Loads a model; raises `EngineConfigError` if it can't, or if the model is not as configured."""


@dataclass(frozen=True)
class TensorSignature:
    """A tensor as the model declares it; ``shape`` has the batch dimension, None is any size."""

    dtype: npt.DTypeLike
    shape: tuple[int | None, ...]


def check_signature(
    config: EngineConfig,
    inputs: Mapping[str, TensorSignature],
    outputs: Mapping[str, TensorSignature],
) -> None:
    """Check that a model's inputs and outputs, by name, are what its configuration says.

    The message of EngineConfigError lists every difference.
    """
    problems = [
        *_differences("input", config.inputs, inputs),
        *_differences("output", config.outputs, outputs),
    ]
    unfed = set(inputs) - {tensor.name for tensor in config.inputs}
    problems += [f"input {name!r} of the model is not configured" for name in sorted(unfed)]
    for name, tensor in inputs.items():
        fixed = tensor.shape[0] if tensor.shape else None
        if fixed is not None and fixed != config.max_batch_size:
            problems.append(
                f"input {name!r} has the fixed batch size {fixed}, max_batch_size is "
                f"{config.max_batch_size}"
            )
    if problems:
        raise EngineConfigError(
            f"model {config.name!r}: config.pbtxt and {config.path.name} disagree: "
            + "; ".join(problems)
        )


def _differences(
    kind: str, configured: Sequence[TensorConfig], actual: Mapping[str, TensorSignature]
) -> list[str]:
    problems = []
    for tensor in configured:
        found = actual.get(tensor.name)
        if found is None:
            problems.append(
                f"{kind} {tensor.name!r} is not in the model, which has "
                f"{', '.join(sorted(actual)) or 'none'}"
            )
            continue
        if np.dtype(found.dtype) != np.dtype(tensor.dtype):
            problems.append(
                f"{kind} {tensor.name!r} is configured as {np.dtype(tensor.dtype)}, "
                f"the model has {np.dtype(found.dtype)}"
            )
        if not _compatible(tensor.dims, found.shape[1:]):
            problems.append(
                f"{kind} {tensor.name!r} is configured with dims {list(tensor.dims)}, "
                f"the model has {[-1 if size is None else size for size in found.shape[1:]]}"
            )
    return problems


def _compatible(configured: tuple[int, ...], actual: tuple[int | None, ...]) -> bool:
    return len(configured) == len(actual) and all(
        size is None or dim in (-1, size) for dim, size in zip(configured, actual, strict=True)
    )


def _tensor(model: str, tensor: Mapping[str, object]) -> TensorConfig:
    kind = str(tensor["data_type"])
    if kind not in _NUMPY_TYPES:
        raise EngineConfigError(
            f"model {model!r}: tensor {tensor['name']!r} has the unsupported type {kind}"
        )
    dims = tensor["dims"]
    if not isinstance(dims, list):
        raise EngineConfigError(f"model {model!r}: tensor {tensor['name']!r} has no dims")
    return TensorConfig(
        str(tensor["name"]), np.dtype(_NUMPY_TYPES[kind]), tuple(int(size) for size in dims)
    )
