"""What an exported network takes: its image, and inputs that have the same value for every image.

PaddleX and PaddleDetection export float32 ``[batch, 3, height, width]``; what other tools make of
it (half precision, a batch of several images) is read as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.graph import onnx_graph

Feed = dict[str, npt.NDArray[np.generic]]

FLOAT_TYPES = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)

_PIXEL_TYPES = (TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64)


@dataclass(frozen=True)
class NetworkInputs:
    """The inputs of a network for images of one size.

    ``image`` is the name of its image input, ``element_type`` ONNX's number of its type. ``batch``
    is the number of images that it was exported for, None for any. ``constants`` are the values,
    for one image, of inputs that are the same for every image.
    """

    image: str
    element_type: int
    batch: int | None
    constants: Mapping[str, npt.NDArray[np.generic]]

    def feed(self, image: npt.NDArray[np.float32]) -> Feed:
        """Return the inputs for a normalized image ``[1, 3, h, w]``, repeated to the batch."""
        values = {self.image: image.astype(helper.tensor_dtype_to_np_dtype(self.element_type))}
        return {
            name: np.repeat(value, self.batch or 1, axis=0)
            for name, value in {**values, **self.constants}.items()
        }


def network_inputs(model: onnx.ModelProto, height: int, width: int) -> NetworkInputs:
    """Find the inputs of a network for images of a size in pixels.

    A `ConversionError` says which input can't be filled, with its type and shape, and what to do.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [tensor for tensor in model.graph.input if tensor.name not in weights]
    images = [tensor for tensor in inputs if len(onnx_graph.tensor_shape(tensor)) == 4]
    if len(images) != 1:
        raise ConversionError(
            "expected one image input FLOAT [batch, 3, height, width] (and perhaps `scale_factor` "
            f"and `im_shape`), the model has {describe(inputs)}: export it so"
        )
    (image,) = images
    constants = {
        tensor.name: _constant(tensor, height, width) for tensor in inputs if tensor is not image
    }
    batch = _batch(image, height, width)
    return NetworkInputs(image.name, image.type.tensor_type.elem_type, batch, constants)


def unused_inputs(feed: Feed) -> Feed:
    """Return values for the inputs that PaddleDetection's networks have beside an image."""
    height, width = next(value.shape[2:] for value in feed.values() if value.ndim == 4)
    return {
        name: np.array([value], np.float32) for name, value in _known_inputs(height, width).items()
    }


def check_image_type(model: onnx.ModelProto, inputs: NetworkInputs, *, as_pixels: bool) -> None:
    """Raise `ConversionError` unless a network's image can be filled as it is described.

    ``as_pixels`` says whether it is described to take pixels of 0..255, not normalized.
    """
    if inputs.element_type in FLOAT_TYPES:
        return
    image = describe(tensor for tensor in model.graph.input if tensor.name == inputs.image)
    if inputs.element_type not in _PIXEL_TYPES:
        raise ConversionError(
            f"the image input {image} can't be filled: how pixels become such numbers is not "
            "known. Export the network with a float32 image"
        )
    if not as_pixels:
        raise ConversionError(
            f"the image input {image} takes whole numbers, but inference.yml asks for normalized "
            "pixels. Remove NormalizeImage there if the network does it itself, else export it "
            "with a float32 image"
        )


def fix_constants(model: onnx.ModelProto, inputs: NetworkInputs) -> None:
    """Give inputs that are the same for every image their values, in place."""
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in inputs.constants.items()
    )


def describe(tensors: Iterable[onnx.ValueInfoProto]) -> str:
    """Describe inputs or outputs for messages: names, types and shapes."""
    return ", ".join(_describe(tensor) for tensor in tensors) or "none"


def _batch(image: onnx.ValueInfoProto, height: int, width: int) -> int | None:
    """Check the shape of the image and return the fixed batch, None for any."""
    batch, *sides = onnx_graph.tensor_shape(image)
    fixed = [side if isinstance(side, int) and side > 0 else None for side in sides]
    if fixed[0] not in (3, None):
        layout = (
            "its channels are last: export it with them first"
            if fixed[2] == 3
            else "only networks for color images (3 channels) can be served"
        )
        raise ConversionError(
            f"the image input {_describe(image)} is not [batch, 3, height, width]; {layout}"
        )
    if fixed[1] not in (height, None) or fixed[2] not in (width, None):
        raise ConversionError(
            f"the graph was exported for images of {sides[1]}x{sides[2]} (height x width) and "
            f"can't take {height}x{width}, which is asked for: export it for that size"
        )
    return batch if isinstance(batch, int) and batch > 0 else None


def _known_inputs(height: int, width: int) -> dict[str, tuple[int, int]]:
    # Images come at the network's size, and boxes are wanted in its pixels.
    return {"scale_factor": (1, 1), "im_shape": (height, width)}


def _constant(tensor: onnx.ValueInfoProto, height: int, width: int) -> npt.NDArray[np.generic]:
    """Return the value of an input that PaddleDetection's networks have beside the image."""
    shape, element_type = onnx_graph.tensor_shape(tensor), tensor.type.tensor_type.elem_type
    value = _known_inputs(height, width).get(tensor.name.rpartition("/")[2])
    fits = len(shape) == 2 and (shape[1] == 2 or not isinstance(shape[1], int))
    if value is None or not fits or element_type not in FLOAT_TYPES:
        raise ConversionError(
            f"nothing is known to fill the input {_describe(tensor)} with; beside the image there "
            "may be `scale_factor` and `im_shape`, FLOAT [batch, 2]: export the network without "
            "others"
        )
    return np.array([value], helper.tensor_dtype_to_np_dtype(element_type))


def _describe(tensor: onnx.ValueInfoProto) -> str:
    element_type = TensorProto.DataType.Name(tensor.type.tensor_type.elem_type)
    sides = ["?" if side is None else str(side) for side in onnx_graph.tensor_shape(tensor)]
    return f"`{tensor.name}` {element_type} [{', '.join(sides)}]"
