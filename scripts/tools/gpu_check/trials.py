"""Runs leaves on engines; what fails is part of the result, not the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tools.gpu_check.compare import compare
from tools.gpu_check.engines import Engine, Images, Leaf, reference
from tools.gpu_check.measure import measure
from tools.gpu_check.report import Trial
from tritonpose_server.models.graph.onnx_graph import tensor_shape
from tritonpose_server.models.paddle.verification_images import verification_images


def try_engines(
    leaf: Leaf,
    engines: Sequence[Engine],
    batches: Sequence[int],
    seconds: float,
    progress: Callable[[str], None],
) -> list[Trial]:
    """Compare a leaf's results on each engine with the CPU's, then measure its speed.

    Args:
        leaf: The leaf.
        engines: What to run it on.
        batches: Batch sizes to measure; larger ones than the leaf's largest are left out.
        seconds: How long at each batch size.
        progress: Called with lines for the user.
    """
    images = _images(leaf)
    names = [tensor.name for tensor in leaf.model.graph.output]
    expected = reference(leaf).run(images)
    trials = []
    for engine in engines:
        progress(f"{leaf.name}: {engine.name}, {engine.precision}")
        try:
            runner = engine.load(leaf)
            difference = compare(names, expected, runner.run(images), engine.precision)
            speeds = tuple(
                measure(runner, images, batch, seconds)
                for batch in batches
                if batch <= leaf.max_batch
            )
        except Exception as error:  # engines raise whatever they like: the others are to be tried
            text = " ".join(f"{type(error).__name__}: {error}".split())
            progress(f"  failed: {text}")
            trials.append(Trial(leaf.name, engine.name, engine.precision, None, (), text))
        else:
            trials.append(Trial(leaf.name, engine.name, engine.precision, difference, speeds))
    return trials


def _images(leaf: Leaf) -> Images:
    """As many images as fit into a batch, at most eight."""
    height, width = (int(size or 0) for size in tensor_shape(leaf.model.graph.input[0])[1:3])
    series = [verification_images(height, width, number) for number in range(2)]
    return np.concatenate(series)[: leaf.max_batch]
