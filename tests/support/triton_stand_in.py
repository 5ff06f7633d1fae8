"""Stands in for ``triton_python_backend_utils``, which exists only inside Triton's processes."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

FINAL = 1


class TritonModelException(Exception):  # noqa: N818 - Triton's name
    """What a model raises to say that it can't be served."""


class TritonError:
    """An error in a response."""

    def __init__(self, message: str) -> None:
        self._message = message

    def message(self) -> str:
        return self._message


class Tensor:
    """A named array."""

    def __init__(self, name: str, array: np.ndarray) -> None:
        self._name = name
        # Triton's tensors own their memory.
        self._array = array.copy()

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray:
        return self._array


@dataclass
class InferenceResponse:
    """Tensors or an error."""

    output_tensors: Sequence[Tensor] = ()
    error: TritonError | None = None


@dataclass
class Sender:
    """Keeps what is sent; fails where it is told to."""

    broken: bool = False
    sent: list[tuple[InferenceResponse, int]] = field(default_factory=list)

    def send(self, response: InferenceResponse, flags: int) -> None:
        if self.broken:
            raise TritonModelException("the client is gone")
        self.sent.append((response, flags))

    def outputs(self) -> dict[str, np.ndarray]:
        """Outputs of the one response, which must be final and without error."""
        ((response, flags),) = self.sent
        assert flags == FINAL
        assert response.error is None
        return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors}

    def error(self) -> str:
        """Message of the one response, which must be final and an error."""
        ((response, flags),) = self.sent
        assert flags == FINAL
        assert response.error is not None
        return response.error.message()


class Request:
    """A request with its inputs."""

    def __init__(self, *, broken: bool = False, **inputs: np.ndarray) -> None:
        self.inputs: Mapping[str, np.ndarray] = inputs
        self.sender = Sender(broken)

    def get_response_sender(self) -> Sender:
        return self.sender


def install(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make the module importable.

    Returns:
        The log to which it writes errors.
    """
    log: list[str] = []
    module = types.ModuleType("triton_python_backend_utils")
    contents = {
        "TritonModelException": TritonModelException,
        "TritonError": TritonError,
        "Tensor": Tensor,
        "InferenceResponse": InferenceResponse,
        "TRITONSERVER_RESPONSE_COMPLETE_FINAL": FINAL,
        "Logger": types.SimpleNamespace(log_error=log.append, log_warn=log.append),
        "get_input_tensor_by_name": lambda request, name: Tensor(name, request.inputs[name]),
    }
    module.__dict__.update(contents)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", module)
    return log
