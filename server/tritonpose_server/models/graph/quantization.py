"""Post-training quantization of a model: convolutions in 8-bit integers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph import onnx_graph

Images = Sequence[npt.NDArray[np.uint8]]

# Below, a convolution gains no speed. The first ones have fewest channels, and their errors go
# through the whole network.
_FEWEST_INPUT_CHANNELS = 32

_TENSORRT_OPTIONS = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "AddQDQPairToWeight": True,
    "QuantizeBias": False,
}


def quantize_model(
    servable: onnx.ModelProto, calibration: Images, *, for_tensorrt: bool = False
) -> onnx.ModelProto:
    """Let the dense convolutions of a model compute in 8-bit integers.

    Depthwise convolutions and those with few input channels stay in floating point, and so does
    everything else: preprocessing, the decoding of boxes, softmax. ``servable`` takes ``image``
    uint8 ``[batch, h, w, 3]``; the ranges that activations take on ``calibration``, typical inputs
    uint8 ``[h, w, 3]``, become those of the integers. Activations have 8 bits, weights 7 with one
    scale per output channel. With ``for_tensorrt``, by its rules, integers are signed and symmetric
    around zero, weights have all 8 bits and biases are in floating point. `ConversionError` is
    raised where there is no calibration input, one does not fit, or there is nothing to quantize.
    """
    _check_calibration(servable, calibration)
    model = _prepare(servable)
    nodes = _quantizable(model)
    if not nodes:
        raise ConversionError(
            "nothing can be quantized: the network has no dense convolution with "
            f"{_FEWEST_INPUT_CHANNELS} input channels or more"
        )
    with tempfile.TemporaryDirectory(prefix="tritonpose-int8-") as work:
        target = Path(work) / "model.onnx"
        quantize_static(
            model,
            target,
            _Reader(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_quantize=nodes,
            per_channel=True,
            # CPUs without VNNI add two 8-bit products in 16 bits, which 8-bit weights overflow.
            reduce_range=not for_tensorrt,
            activation_type=QuantType.QInt8 if for_tensorrt else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={
                # A convolution's result is needed in full where the next one stays in floats.
                "OpTypesToExcludeOutputQuantization": ["Conv"],
                **(_TENSORRT_OPTIONS if for_tensorrt else {}),
            },
        )
        return onnx.load(target)


class _Reader:
    """Hands calibration inputs to ONNX Runtime one by one: not every model takes batches."""

    def __init__(self, images: Images) -> None:
        self._images: Iterator[npt.NDArray[np.uint8]] = iter(images)

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        image = next(self._images, None)
        return None if image is None else {"image": image[None]}


def _check_calibration(model: onnx.ModelProto, calibration: Images) -> None:
    if not calibration:
        raise ConversionError("there is no calibration input")
    expected = onnx_graph.tensor_shape(model.graph.input[0])[1:]
    for index, image in enumerate(calibration):
        if image.dtype != np.uint8 or list(image.shape) != expected:
            raise ConversionError(
                f"calibration input {index} is {image.dtype} {list(image.shape)}, the model takes "
                f"uint8 {expected}"
            )


def _prepare(servable: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy whose weights are constants and whose nodes have names."""
    model = deepcopy(servable)
    # ONNX Runtime's own preparation would also take HardSwish to pieces, which OpenVINO then does
    # not put together again: a detector becomes three times slower.
    onnx_graph.fold_constants(model)
    helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"
    onnx_graph.keep_one_opset(model)
    return model


def _quantizable(model: onnx.ModelProto) -> list[str]:
    """Return the names of the dense convolutions with enough input channels."""
    shapes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv"
        and all(attribute.i == 1 for attribute in node.attribute if attribute.name == "group")
        and shapes.get(node.input[1], [0, 0])[1] >= _FEWEST_INPUT_CHANNELS
    ]
