"""What an inference engine must offer to serve a model, and the check of the model it loads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tritonpose_server.engines.config import EngineConfig, EngineConfigError, TensorConfig

Array = npt.NDArray[np.generic]


class LoadedModel(Protocol):
    """A model that is ready to run. Safe to use from several threads."""

    @property
    def streams(self) -> int:
        """Return how many batches it runs at the same time; further ones wait."""
        ...

    def run(self, inputs: Mapping[str, Array]) -> Sequence[Array]:
        """Run a batch.

        Args:
            inputs: The inputs by name, ``[B, ...]`` each.

        Returns:
            The outputs, ``[B, ...]`` each, in the order of the configuration.
        """
        ...


Engine = Callable[[EngineConfig], LoadedModel]
"""Loads a model; raises `EngineConfigError` if it can't, or if the model is not as configured."""


@dataclass(frozen=True)
class TensorSignature:
    """A tensor as the model declares it.

    Attributes:
        dtype: Its numpy type.
        shape: Its shape with the batch dimension; None for any size.
    """

    dtype: npt.DTypeLike
    shape: tuple[int | None, ...]


def check_signature(
    config: EngineConfig,
    inputs: Mapping[str, TensorSignature],
    outputs: Mapping[str, TensorSignature],
) -> None:
    """Check that a model is what its configuration says.

    Args:
        config: The configuration.
        inputs: The model's inputs by name.
        outputs: The model's outputs by name.

    Raises:
        EngineConfigError: They differ; the message lists every difference.
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
