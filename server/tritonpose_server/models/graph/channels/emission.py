"""Writes a trace as a graph again, with weights in the orders that were chosen."""

from __future__ import annotations

from collections.abc import Sequence

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
    pieces,
    sources,
)
from tritonpose_server.models.graph.channels.tracing import Trace, weights

# Before the number of what is added.
_MARK = "channels"

# The position of channels in the weights of these; in those of others it is the last but two.
_CHANNELS_FIRST = ("Conv", "BatchNormalization")


class Writer:
    """Writes the nodes and weights of a trace, whose orders are chosen.

    ``gathers`` counts the tensors whose channels had to be brought in order one by one.
    """

    def __init__(self, model: onnx.ModelProto, trace: Trace) -> None:
        """Use the model that the trace is of."""
        self._model = model
        self._trace = trace
        self._weights = weights(model)
        self._added: dict[str, npt.NDArray[np.generic]] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._names: dict[Part, str] = {}
        self._slices: dict[tuple[Part, int, int], str] = {}
        self._joins = {frozenset(part.view): part for part in trace.parts if isinstance(part, Join)}
        self._count = 0
        self.gathers = 0

    def run(self) -> onnx.ModelProto:
        """Return a model with the inputs and outputs of the original one."""
        for step in self._trace.steps:
            if isinstance(step, Part):
                self._write(step)
            else:
                self._keep(step)
        outputs = [tensor.name for tensor in self._model.graph.output]
        for name in outputs:
            part = self._trace.exact.get(name)
            if part is not None and self._names[part] != name:
                self._nodes.append(helper.make_node("Identity", [self._names[part]], [name]))
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        graph = model.graph
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(self._needed(outputs))
        used = {name for node in graph.node for name in node.input}
        graph.initializer.extend(
            numpy_helper.from_array(value, name)
            for name, value in {**self._weights, **self._added}.items()
            if name in used
        )
        return model

    def _needed(self, outputs: Sequence[str]) -> list[onnx.NodeProto]:
        needed, kept = set(outputs), []
        for node in reversed(self._nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                kept.append(node)
        return kept[::-1]

    def _keep(self, node: onnx.NodeProto) -> None:
        copy = onnx.NodeProto.FromString(node.SerializeToString())
        for index, name in enumerate(node.input):
            part = self._trace.measured.get(name) if node.op_type == "Shape" else None
            part = part or self._trace.exact.get(name)
            if part is not None:
                copy.input[index] = self._names[part]
        self._nodes.append(copy)

    def _write(self, part: Part) -> None:
        if part in self._names:
            return
        if isinstance(part, Natural):
            self._names[part] = part.tensor
        elif isinstance(part, Pin):
            places = part.source.positions[part.chosen]
            self._names[part] = self._pick(self._names[part.source], places, part.source.size)
        elif isinstance(part, Dense):
            self._names[part] = self._dense(part)
        elif isinstance(part, Channelwise):
            self._names[part] = self._channelwise(part)
        elif isinstance(part, Join):
            name, places, width = self._bring(part.view)
            if part.gathered:
                name = self._pick(name, places[part.channels], width)
            self._names[part] = name

    def _bring(self, view: View) -> tuple[str, Channels, int]:
        """Bring a tensor's channels together: name, where each one lies in it, and its size."""
        places = np.empty(len(view), np.int64)
        names: list[str] = []
        width = 0
        distinct = dict.fromkeys(view)
        index = {reference: own for own, reference in enumerate(distinct)}
        where = np.empty(len(index), np.int64)
        for piece in pieces(list(distinct)):
            where[piece.own] = np.arange(len(piece.own)) + width
            names.append(self._slice(piece.part, piece.start, piece.stop))
            width += len(piece.own)
        places[:] = [where[index[reference]] for reference in view]
        name = names[0] if len(names) == 1 else self._node("Concat", names, axis=1)
        return name, places, width

    def _dense(self, part: Dense) -> str:
        weight = self._weights[part.node.input[1]]
        whole = sources(part.view)[0]
        join = self._joins.get(frozenset(part.view))
        if join is not None:
            # Made only of what is there already.
            self._write(join)
            index = {reference: own for own, reference in enumerate(join.view)}
            own = [index[reference] for reference in part.view]
            source, places, width = self._names[join], join.positions[own], join.size
        elif {reference[0] for reference in part.view} == {whole} and whole.size == len(part.view):
            source, width = self._names[whole], whole.size
            places = whole.positions[[channel for _, channel in part.view]]
        else:
            source, places, width = self._bring(part.view)
        spread = np.zeros((len(weight), width, *weight.shape[2:]), weight.dtype)
        # A channel may be read twice.
        for column, place in enumerate(places):
            spread[:, place] += weight[:, column]
        inputs = [source, self._weight(spread[part.channels])]
        inputs += [self._weight(self._weights[b][part.channels]) for b in part.node.input[2:] if b]
        return self._copy(part.node, inputs)

    def _channelwise(self, part: Channelwise) -> str:
        inputs = []
        for index, name in enumerate(part.node.input):
            if index in part.operands:
                name = self._names[part.operands[index][0]]
            elif name in self._weights and part.node.op_type != "Resize":
                name = self._per_channel(part, name)
            inputs.append(name)
        return self._copy(part.node, inputs)

    def _per_channel(self, part: Channelwise, name: str) -> str:
        """Bring the weights of channels into their order; a single number stands for all."""
        value = self._weights[name]
        axis = 0 if part.node.op_type in _CHANNELS_FIRST else value.ndim - 3
        if axis < 0 or value.ndim == 0 or value.shape[axis] == 1:
            return name
        return self._weight(np.take(value, part.channels, axis))

    def _pick(self, name: str, places: Channels, size: int) -> str:
        if np.array_equal(places, np.arange(size)):
            return name
        self.gathers += 1
        return self._node("Gather", [name, self._weight(places)], axis=1)

    def _slice(self, part: Part, start: int, stop: int) -> str:
        if stop - start == part.size:
            return self._names[part]
        key = (part, start, stop)
        if key not in self._slices:
            bounds = [self._weight(np.array([number], np.int64)) for number in (start, stop, 1)]
            self._slices[key] = self._node("Slice", [self._names[part], *bounds])
        return self._slices[key]

    def _copy(self, node: onnx.NodeProto, inputs: Sequence[str]) -> str:
        copy = onnx.NodeProto.FromString(node.SerializeToString())
        copy.input[:] = inputs
        copy.output[:] = [self._fresh(node.output[0])]
        self._nodes.append(copy)
        return str(copy.output[0])

    def _node(self, kind: str, inputs: Sequence[str], axis: int | None = None) -> str:
        node = helper.make_node(kind, list(inputs), [self._fresh(kind)])
        if axis is not None:
            node.attribute.append(helper.make_attribute("axis", axis))
        self._nodes.append(node)
        return str(node.output[0])

    def _weight(self, value: npt.NDArray[np.generic]) -> str:
        name = self._fresh("weight")
        self._added[name] = np.ascontiguousarray(value)
        return name

    def _fresh(self, name: str) -> str:
        self._count += 1
        return f"{name}/{_MARK}{self._count}"
