"""Absorbs the channel shuffles of a servable model, and checks that nothing else changed."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import numpy.typing as npt
import onnx

from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph import onnx_graph
from tritonpose_server.models.graph.channels.emission import Writer
from tritonpose_server.models.graph.channels.orders import choose_orders
from tritonpose_server.models.graph.channels.tracing import Tracer, has_shuffle
from tritonpose_server.models.paddle.verification_images import verification_images

# Sums in another order round differently; relative to the greatest result, if that is beyond 1.
_TOLERANCE = 1e-5


def absorb_shuffles(servable: onnx.ModelProto) -> tuple[onnx.ModelProto, str | None]:
    """Return a model that gives the same without shuffling channels, and a note on what was done.

    Networks of ShuffleNet's kind mix the channels of two branches: concatenate, shuffle, split. A
    convolution does not care where a channel lies if its weights lie alike. So the channels stay
    where they were computed, the weights of their readers are brought into that order, and
    only what is read next is brought together. ``servable`` takes ``image`` uint8 ``[batch, h, w,
    3]``. It is returned as it is where it has no such shuffles (then without a note), where it
    would not get simpler, or where results would differ by more than rounding.
    """
    graph = servable.graph
    if onnx_graph.precision(servable) != "fp32" or not has_shuffle(graph):
        return servable, None
    if any(attribute.HasField("g") for node in graph.node for attribute in node.attribute):
        return servable, None
    model = deepcopy(servable)
    onnx_graph.fold_constants(model)
    height, width = (int(size or 0) for size in onnx_graph.tensor_shape(graph.input[0])[1:3])
    images = verification_images(height, width, 0)
    trace = Tracer(model, _shapes(model, images[:1])).run()
    if not trace.shuffles:
        return servable, None
    choose_orders(trace.parts)
    writer = Writer(model, trace)
    result = writer.run()
    if writer.gathers >= trace.shuffles:
        return servable, f"its {trace.shuffles} channel shuffles stay: they can't be absorbed"
    try:
        onnx.checker.check_model(result, full_check=True)
        difference = _difference(servable, result, images[:2])
    except (onnx.checker.ValidationError, ConversionError) as error:
        return servable, f"its {trace.shuffles} channel shuffles stay: {error}"
    if not difference <= _TOLERANCE:
        return servable, (
            f"its {trace.shuffles} channel shuffles stay: without them, results differ by "
            f"{difference:.2g}"
        )
    return result, (
        f"{trace.shuffles} channel shuffles absorbed into the order of weights; results differ by "
        f"up to {difference:.2g}"
    )


def _shapes(model: onnx.ModelProto, images: npt.NDArray[np.uint8]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all tensors for one image, which no declared shape need tell."""
    every = deepcopy(model)
    del every.graph.output[:]
    every.graph.output.extend(
        onnx.ValueInfoProto(name=name) for node in model.graph.node for name in node.output if name
    )
    return onnx_graph.run_for_shapes(every, {"image": images})


def _difference(
    model: onnx.ModelProto,
    other: onnx.ModelProto,
    images: npt.NDArray[np.uint8],
) -> float:
    """Return the largest difference of two models' results."""
    pairs = zip(
        *(onnx_graph.open_session(each).run(None, {"image": images}) for each in (model, other)),
        strict=True,
    )
    return max(
        float(np.abs(found - expected).max()) / max(1.0, float(np.abs(expected).max()))
        for expected, found in pairs
    )
