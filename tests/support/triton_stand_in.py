"""Stands in for ``triton_python_backend_utils``, which exists only inside Triton's processes."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tritonpose_pipeline.errors import UnavailableError
from tritonpose_pipeline.triton import Admission

FINAL = 1


class TritonModelException(Exception):  # noqa: N818 - Triton's name
    """What a model raises to say that it can't be served."""


class TritonError:
    """An error in a response."""

    UNKNOWN, INTERNAL, INVALID_ARG, UNAVAILABLE, CANCELLED = range(5)

    def __init__(self, message: str, code: int = UNKNOWN) -> None:
        self._message = message
        self._code = code

    def code(self) -> int:
        return self._code

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


class InferenceResponse:
    """Tensors or an error."""

    def __init__(
        self, output_tensors: Sequence[Tensor] = (), error: TritonError | None = None
    ) -> None:
        self.output_tensors = output_tensors
        self._error = error

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error


@dataclass
class Sender:
    """Keeps what is sent; fails if it is broken."""

    broken: bool = False
    cancelled: bool = False
    sent: list[tuple[InferenceResponse, int]] = field(default_factory=list)

    def send(self, response: InferenceResponse, flags: int) -> None:
        if self.broken:
            raise TritonModelException("the client is gone")
        self.sent.append((response, flags))

    def is_cancelled(self) -> bool:
        return self.cancelled

    def outputs(self) -> dict[str, np.ndarray]:
        """Outputs of the one response, which must be final and without error."""
        ((response, flags),) = self.sent
        assert flags == FINAL
        assert not response.has_error()
        return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors}

    def error(self) -> str:
        """Message of the one response, which must be final and an error."""
        ((response, flags),) = self.sent
        assert flags == FINAL
        error = response.error()
        assert error is not None
        return error.message()

    def status(self) -> int:
        """Status of the one response, which must be an error."""
        ((response, _),) = self.sent
        error = response.error()
        assert error is not None
        return error.code()


class Request:
    """A request with its inputs."""

    def __init__(
        self,
        *,
        broken: bool = False,
        request_id: str = "",
        parameters: str = "",
        cancelled: bool = False,
        **inputs: np.ndarray,
    ) -> None:
        self.inputs: Mapping[str, np.ndarray] = inputs
        self.sender = Sender(broken, cancelled)
        self._request_id = request_id
        self._parameters = parameters

    def request_id(self) -> str:
        return self._request_id

    def parameters(self) -> str:
        return self._parameters

    def get_response_sender(self) -> Sender:
        return self.sender


@dataclass
class ModelCall:
    """A call of a composing model."""

    model_name: str
    requested_output_names: list[str]
    inputs: list[Tensor]
    parameters: dict[str, str]


class Metric:
    """One of Triton's metrics; only a gauge may fall."""

    def __init__(self, *, may_fall: bool) -> None:
        self._may_fall = may_fall
        self._value = 0.0

    def increment(self, value: float) -> None:
        assert value > 0 or (self._may_fall and value)
        self._value += value

    def set(self, value: float) -> None:
        assert self._may_fall
        self._value = value

    def value(self) -> float:
        return self._value


Answer = dict[str, np.ndarray] | str


@dataclass
class Triton:
    """What stands behind the module: a log, and composing models.

    Attributes:
        log: Lines with their level before them.
        models: What each model answers: outputs, or the message of an error.
        ready: Names of the models that are ready.
        calls: Calls of models in order.
        loads: Names of models in the order in which they were loaded.
        metrics: By the family's name and the values of the labels.
        on_load: Called with the name of a model before it is loaded.
    """

    log: list[str] = field(default_factory=list)
    models: dict[str, Callable[[ModelCall], Answer]] = field(default_factory=dict)
    ready: set[str] = field(default_factory=set)
    calls: list[ModelCall] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    metrics: dict[tuple[str, ...], Metric] = field(default_factory=dict)
    on_load: Callable[[str], object] = lambda _name: None

    def execute(self, call: ModelCall) -> InferenceResponse:
        self.calls.append(call)
        if call.model_name not in self.ready:
            return InferenceResponse(error=TritonError(f"Model {call.model_name!r} is not ready"))
        answer = self.models[call.model_name](call)
        if isinstance(answer, str):
            return InferenceResponse(error=TritonError(answer))
        return InferenceResponse([Tensor(*item) for item in answer.items()])

    def load_model(self, model_name: str) -> None:
        self.on_load(model_name)
        self.loads.append(model_name)
        if model_name not in self.models:
            raise TritonModelException(f"failed to load {model_name!r}: no version")
        self.ready.add(model_name)

    def module(self) -> types.ModuleType:
        """Make the module."""
        triton = self

        class InferenceRequest(ModelCall):
            def exec(self) -> InferenceResponse:
                return triton.execute(self)

        class MetricFamily:
            COUNTER, GAUGE = range(2)

            def __init__(self, *, name: str, description: str, kind: int) -> None:
                assert description
                assert kind in (self.COUNTER, self.GAUGE)
                self.name = name
                self.may_fall = kind == self.GAUGE

            def Metric(self, *, labels: Mapping[str, str]) -> Metric:  # noqa: N802 - Triton's name
                metric = Metric(may_fall=self.may_fall)
                return triton.metrics.setdefault((self.name, *labels.values()), metric)

        module = types.ModuleType("triton_python_backend_utils")
        levels = {
            f"log_{level}": lambda line, level=level: self.log.append(f"{level}: {line}")
            for level in ("info", "warn", "error")
        }
        contents = {
            "TritonModelException": TritonModelException,
            "TritonError": TritonError,
            "Tensor": Tensor,
            "InferenceRequest": InferenceRequest,
            "InferenceResponse": InferenceResponse,
            "TRITONSERVER_RESPONSE_COMPLETE_FINAL": FINAL,
            "Logger": types.SimpleNamespace(**levels),
            "MetricFamily": MetricFamily,
            "get_input_tensor_by_name": lambda request, name: (
                Tensor(name, request.inputs[name]) if name in request.inputs else None
            ),
            "get_output_tensor_by_name": lambda response, name: next(
                tensor for tensor in response.output_tensors if tensor.name() == name
            ),
            "is_model_ready": lambda model_name: model_name in self.ready,
            "load_model": self.load_model,
        }
        module.__dict__.update(contents)
        return module


def install(monkeypatch: pytest.MonkeyPatch, triton: Triton | None = None) -> list[str]:
    """Make the module importable.

    Returns:
        The log that is written, each line with its level before it.
    """
    triton = triton or Triton()
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", triton.module())
    return triton.log


def load_module(path: Path) -> types.ModuleType:
    """Import a model's file as Triton's stub does."""
    spec = importlib.util.spec_from_file_location("model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_admitted(admission: Admission) -> bool:
    """Whether a further request is accepted; then it is in flight."""
    try:
        admission.acquire()
    except UnavailableError:
        return False
    return True
