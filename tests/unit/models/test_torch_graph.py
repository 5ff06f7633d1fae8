"""PyTorch as an engine for models; where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from quantizable_model import images, quantizable_model
from tools.gpu_check.torch_graph import TorchGraph
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models.graph.engine_graph import engine_graph

torch = pytest.importorskip("torch")


def expected(batch: np.ndarray) -> np.ndarray:
    model = quantizable_model().SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": batch})[0])


@pytest.mark.parametrize(("precision", "share"), [("fp32", 1e-5), ("fp16", 0.01)])
def test_results(precision: Any, share: float) -> None:
    batch = np.stack(images(3))
    wanted = expected(batch)
    (found,) = TorchGraph(torch, engine_graph(quantizable_model(), precision), "cpu").run(batch)
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() < share * np.abs(wanted).max()


def test_an_unknown_operator() -> None:
    model = quantizable_model()
    model.graph.node.append(helper.make_node("Erf", ["heatmap"], ["other"]))
    with pytest.raises(EmbeddedServerError, match="does not know the operators Erf"):
        TorchGraph(torch, model, "cpu")
