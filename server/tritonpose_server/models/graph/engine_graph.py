"""Prepares a model for TensorRT, which takes the precision of each layer from the graph."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import onnx
import onnxruntime
from onnx import version_converter

from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph import onnx_graph
from tritonpose_server.models.graph.half_precision import to_half
from tritonpose_server.models.graph.quantization import Images, quantize_model

EnginePrecision = Literal["fp32", "fp16", "int8"]

# The first in which the scales of quantized tensors may be FP16.
_OPSET = 19


def engine_graph(
    servable: onnx.ModelProto, precision: EnginePrecision, calibration: Images = ()
) -> onnx.ModelProto:
    """Make the graph that TensorRT builds an engine from, or raise `ConversionError`.

    From version 11 on, TensorRT has no switches for precision any more: every layer computes in the
    type of its tensors. So FP16 (between the first and the last convolutions) and INT8 (the larger
    convolutions, with FP16 between them) are written into the graph, which versions from 10 on obey
    as well (as "strongly typed" networks). ``servable`` takes ``image`` uint8 ``[batch, h, w, 3]``
    and gives float32; ``calibration`` are typical inputs for ``int8``, uint8 ``[h, w, 3]``. The
    graph has the same inputs and outputs, but no batch normalizations and no constants to compute.
    """
    model = _simplify(servable)
    if precision == "int8":
        model = quantize_model(model, calibration, for_tensorrt=True)
    return model if precision == "fp32" else to_half(model)


def _simplify(servable: onnx.ModelProto) -> onnx.ModelProto:
    """Fold constants and batch normalizations, with ONNX Runtime's basic optimizations."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory(prefix="tritonpose-engine-") as work:
        options.optimized_model_filepath = str(Path(work) / "model.onnx")
        try:
            onnxruntime.InferenceSession(
                servable.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's errors have no public base class
            raise ConversionError(f"ONNX Runtime can't load the model: {error}") from error
        model = onnx.load(options.optimized_model_filepath)
    onnx_graph.keep_one_opset(model)
    foreign = sorted({node.domain for node in model.graph.node} - {"", "ai.onnx"})
    if foreign:
        raise ConversionError(
            f"the model has operators of {', '.join(foreign)}, which TensorRT does not know"
        )
    del model.graph.value_info[:]
    try:
        return version_converter.convert_version(model, _OPSET)
    except Exception as error:  # the converter's errors have no common base
        raise ConversionError(f"the model can't be written in opset {_OPSET}: {error}") from error
