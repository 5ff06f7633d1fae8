"""Runs models on engines; what fails is part of the result, not the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tools.gpu_check.compare import compare
from tools.gpu_check.engines import Engine, Images, Model, reference
from tools.gpu_check.measure import measure
from tools.gpu_check.report import Trial
from tritonpose_server.models.graph.onnx_graph import tensor_shape
from tritonpose_server.models.paddle.verification_images import verification_images


def try_engines(
    servable: Model,
    engines: Sequence[Engine],
    batches: Sequence[int],
    seconds: float,
    progress: Callable[[str], None],
) -> list[Trial]:
    """Compare a model's results on each engine with the CPU's, then measure its speed.

    Args:
        servable: The model.
        engines: What to run it on.
        batches: Batch sizes to measure; larger ones than the model's largest are left out.
        seconds: How long at each batch size.
        progress: Called with lines for the user.
    """
    images = _images(servable)
    names = [tensor.name for tensor in servable.model.graph.output]
    expected = reference(servable).run(images)
    trials = []
    for engine in engines:
        progress(f"{servable.name}: {engine.name}, {engine.precision}")
        try:
            runner = engine.load(servable)
            difference = compare(names, expected, runner.run(images), engine.precision)
            speeds = tuple(
                measure(runner, images, batch, seconds)
                for batch in batches
                if batch <= servable.max_batch
            )
        except Exception as error:  # engines raise whatever they like: the others are to be tried
            text = " ".join(f"{type(error).__name__}: {error}".split())
            progress(f"  failed: {text}")
            trials.append(Trial(servable.name, engine.name, engine.precision, None, (), text))
        else:
            trials.append(Trial(servable.name, engine.name, engine.precision, difference, speeds))
    return trials


def _images(servable: Model) -> Images:
    """As many images as fit into a batch, at most eight."""
    height, width = (int(size or 0) for size in tensor_shape(servable.model.graph.input[0])[1:3])
    series = [verification_images(height, width, number) for number in range(2)]
    return np.concatenate(series)[: servable.max_batch]
