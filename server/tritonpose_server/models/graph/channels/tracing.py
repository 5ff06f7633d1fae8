"""Follows the channels of a graph's tensors through shuffles, splits and concatenations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from tritonpose_server.models.graph.channels.orders import (
    Channels,
    Channelwise,
    Dense,
    Join,
    Natural,
    Part,
    Pin,
    View,
    tie,
)

Shapes = Mapping[str, tuple[int, ...]]
Weights = Mapping[str, npt.NDArray[Any]]

# Of each number by itself; their other inputs are numbers.
_ELEMENTWISE = frozenset(
    {
        "Abs",
        "Ceil",
        "Clip",
        "Elu",
        "Erf",
        "Exp",
        "Floor",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "Log",
        "Mish",
        "Neg",
        "Reciprocal",
        "Relu",
        "Round",
        "Selu",
        "Sigmoid",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Tanh",
        "ThresholdedRelu",
    }
)
_POOLS = frozenset(["AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "MaxPool"])
_BINARY = frozenset(["Add", "Div", "Max", "Min", "Mul", "Pow", "PRelu", "Sub"])

_CHANNEL_AXES = (1, -3)


@dataclass
class Trace:
    """A graph as parts: ``steps`` are parts, and nodes that are kept, in order.

    ``exact`` are the tensors that what is kept reads, and outputs; ``measured`` those of which only
    the shape is read. ``shuffles`` counts what was absorbed.
    """

    steps: list[Part | onnx.NodeProto] = field(default_factory=list)
    exact: dict[str, Part] = field(default_factory=dict)
    measured: dict[str, Part] = field(default_factory=dict)
    shuffles: int = 0

    @property
    def parts(self) -> list[Part]:
        """Return the parts, each after its sources."""
        return [step for step in self.steps if isinstance(step, Part)]


class Tracer:
    """Makes the trace of a model without subgraphs."""

    def __init__(self, model: onnx.ModelProto, shapes: Shapes) -> None:
        """Use the shapes that the floating point tensors of a model have for one image."""
        self._graph = model.graph
        self._shapes = shapes
        self._weights = weights(model)
        self._shuffles = _find_shuffles(model.graph, shapes)
        self._views: dict[str, View] = {}
        self._joins: dict[frozenset[tuple[Part, int]], Join] = {}
        self._trace = Trace()

    def run(self) -> Trace:
        """Follow all that outputs need."""
        needed = {output.name for output in self._graph.output}
        for node in reversed(self._graph.node):
            if needed.intersection(node.output):
                shuffle = self._shuffles.get(node.output[0])
                needed.update([shuffle[0]] if shuffle else node.input)
        for node in self._graph.node:
            if needed.intersection(node.output) and not self._follow(node):
                self._keep(node)
        for output in self._graph.output:
            self._need(output.name)
        return self._trace

    def _follow(self, node: onnx.NodeProto) -> bool:
        """Express the result of a node by parts, if it is of a known kind."""
        kinds: dict[str, Callable[[onnx.NodeProto], View | None]] = {
            **dict.fromkeys(_ELEMENTWISE, self._elementwise),
            **dict.fromkeys(_POOLS, self._channelwise),
            **dict.fromkeys(_BINARY, self._binary),
            "BatchNormalization": self._channelwise,
            "Resize": self._channelwise,
            "Conv": self._convolution,
            "Concat": self._concat,
            "Slice": self._slice,
            "Gather": self._gather,
        }
        shuffle = self._shuffles.get(node.output[0])
        if shuffle is not None and shuffle[0] in self._views:
            view: View | None = [self._views[shuffle[0]][channel] for channel in shuffle[1]]
            self._trace.shuffles += 1
        elif node.op_type == "Split":
            return self._split(node)
        elif node.op_type in kinds and len(node.output) == 1:
            view = kinds[node.op_type](node)
        else:
            view = None
        if view is None:
            return False
        self._views[node.output[0]] = view
        return True

    def _keep(self, node: onnx.NodeProto) -> None:
        """Keep a node as it is, with inputs and results in the order of the original graph."""
        for name in node.input:
            if node.op_type == "Shape" and name in self._views:
                self._trace.measured[name] = self._whole(self._views[name])[0]
            else:
                self._need(name)
        self._trace.steps.append(node)
        for name in node.output:
            shape = self._shapes.get(name, ())
            if len(shape) == 4:
                self._views[name] = _all(self._add(Natural(shape[1], name)))

    def _need(self, name: str) -> None:
        if name not in self._views or name in self._trace.exact:
            return
        part, chosen = self._whole(self._views[name])
        natural = np.arange(len(chosen))
        if not (isinstance(part, Natural) and np.array_equal(chosen, natural)):
            pin = Pin(len(chosen), part, chosen)
            tie(part, chosen, pin, natural)
            part = self._add(pin)
        self._trace.exact[name] = part

    def _add(self, part: Part) -> Part:
        self._trace.steps.append(part)
        return part

    def _whole(self, view: View) -> tuple[Part, Channels]:
        """Return a part that has just the channels of a tensor, and which of them is which."""
        first, distinct = view[0][0], frozenset(view)
        if len(distinct) < len(view):
            return self._add(Join(len(view), view, gathered=True)), np.arange(len(view))
        if len(view) == first.size and all(part is first for part, _ in view):
            return first, np.array([channel for _, channel in view], np.int64)
        if distinct not in self._joins:
            self._joins[distinct] = Join(len(view), view)
            self._add(self._joins[distinct])
        join = self._joins[distinct]
        index = {reference: own for own, reference in enumerate(join.view)}
        return join, np.array([index[reference] for reference in view], np.int64)

    def _split(self, node: onnx.NodeProto) -> bool:
        view = self._views.get(node.input[0])
        if view is None or attribute(node, "axis", 0) not in _CHANNEL_AXES:
            return False
        start = 0
        for name in node.output:
            size = self._shapes[name][1]
            self._views[name] = view[start : start + size]
            start += size
        return True

    def _slice(self, node: onnx.NodeProto) -> View | None:
        view = self._views.get(node.input[0])
        values = [self._weights.get(name) for name in node.input[1:]]
        numbers = [int(value.item()) for value in values if value is not None and value.size == 1]
        if view is None or len(numbers) != len(values) or len(numbers) < 3:
            return None
        start, stop, axis, step = [*numbers, 1][:4]
        return view[start:stop:step] if axis in _CHANNEL_AXES else None

    def _gather(self, node: onnx.NodeProto) -> View | None:
        view, indices = self._views.get(node.input[0]), self._weights.get(node.input[1])
        if view is None or indices is None or indices.ndim != 1:
            return None
        if attribute(node, "axis", 0) not in _CHANNEL_AXES:
            return None
        return [view[int(index)] for index in indices.tolist()]

    def _concat(self, node: onnx.NodeProto) -> View | None:
        views = [self._views[name] for name in node.input if name in self._views]
        if attribute(node, "axis", 0) not in _CHANNEL_AXES or len(views) < len(node.input):
            return None
        return [reference for view in views for reference in view]

    def _convolution(self, node: onnx.NodeProto) -> View | None:
        view, shape = self._views.get(node.input[0]), self._shapes.get(node.output[0], ())
        if not self._constant(node.input[1:]) or view is None or len(shape) != 4:
            return None
        group = attribute(node, "group", 1)
        if group == 1:
            return _all(self._add(Dense(shape[1], node, view)))
        return self._channelwise(node) if group == shape[1] == len(view) else None

    def _channelwise(self, node: onnx.NodeProto) -> View | None:
        """Follow an operation on one tensor, with weights for each channel or for none."""
        view, shape = self._views.get(node.input[0]), self._shapes.get(node.output[0], ())
        others = node.input[1:] if node.op_type != "Resize" else ()
        if view is None or not self._constant(others) or shape[1:2] != (len(view),):
            return None
        return _all(self._apply(node, {0: self._whole(view)}))

    def _elementwise(self, node: onnx.NodeProto) -> View | None:
        """Follow an operation on each number, part by part."""
        view = self._views.get(node.input[0])
        if view is None or not self._constant(node.input[1:]):
            return None
        done: dict[Part, Part] = {}
        for part, _ in view:
            if part not in done:
                done[part] = self._apply(node, {0: (part, np.arange(part.size))})
        return [(done[part], channel) for part, channel in view]

    def _binary(self, node: onnx.NodeProto) -> View | None:
        views = {i: self._views[name] for i, name in enumerate(node.input) if name in self._views}
        counts = {len(view) for view in views.values()}
        if len(counts) != 1:
            return None
        (count,) = counts
        for index, name in enumerate(node.input):
            value = self._weights.get(name)
            if index not in views and (value is None or not _per_channel(value.shape, count)):
                return None
        return _all(self._apply(node, {i: self._whole(view) for i, view in views.items()}))

    def _apply(self, node: onnx.NodeProto, operands: dict[int, tuple[Part, Channels]]) -> Part:
        size = len(next(iter(operands.values()))[1])
        part, own = Channelwise(size, node, operands), np.arange(size)
        for index, (operand, chosen) in operands.items():
            if not tie(operand, chosen, part, own):
                view = [(operand, channel) for channel in chosen.tolist()]
                gathered = self._add(Join(size, view, gathered=True))
                tie(gathered, own, part, own)
                operands[index] = gathered, own
        return self._add(part)

    def _constant(self, names: Iterable[str]) -> bool:
        return all(name in self._weights or not name for name in names)


def weights(model: onnx.ModelProto) -> Weights:
    """Return the constants of a model by name, unless an input may replace them."""
    inputs = {tensor.name for tensor in model.graph.input}
    return {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.name not in inputs
    }


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return the value of a node's attribute."""
    for found in node.attribute:
        if found.name == name:
            return helper.get_attribute_value(found)
    return default


def has_shuffle(graph: onnx.GraphProto) -> bool:
    """Whether something in a graph looks like a channel shuffle, whatever its shapes are."""
    return bool(list(_candidates(graph)))


def _candidates(
    graph: onnx.GraphProto,
) -> Iterable[tuple[onnx.NodeProto, onnx.NodeProto, onnx.NodeProto]]:
    """Find reshape, transpose of the second and third axis, reshape."""
    producers = {name: node for node in graph.node for name in node.output}
    for last in graph.node:
        turn = producers.get(last.input[0]) if last.op_type == "Reshape" else None
        first = producers.get(turn.input[0]) if turn and turn.op_type == "Transpose" else None
        if turn and first and first.op_type == "Reshape":
            perm = list(attribute(turn, "perm", ()))
            if perm in ([0, 2, 1, 3], [0, 2, 1, 3, 4]):
                yield first, turn, last


def _find_shuffles(graph: onnx.GraphProto, shapes: Shapes) -> dict[str, tuple[str, Channels]]:
    """Return the shuffles by their result, with their source and its channels in new order."""
    found: dict[str, tuple[str, Channels]] = {}
    for first, turn, last in _candidates(graph):
        shape, grouped = shapes.get(first.input[0], ()), shapes.get(first.output[0], ())
        if (
            len(shape) == 4
            and shapes.get(last.output[0]) == shape
            and len(grouped) == len(attribute(turn, "perm", ()))
            and grouped[0] == shape[0]
            and grouped[1] * grouped[2] == shape[1]
        ):
            order = np.arange(shape[1]).reshape(grouped[1:3]).T.ravel()
            found[last.output[0]] = first.input[0], order
    return found


def _all(part: Part) -> View:
    return [(part, channel) for channel in range(part.size)]


def _per_channel(shape: tuple[int, ...], channels: int) -> bool:
    """Whether a constant of a shape is a number, or one for each channel."""
    full = (1,) * (4 - len(shape)) + shape
    return full in ((1, 1, 1, 1), (1, channels, 1, 1))
