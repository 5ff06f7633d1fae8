"""Makes bf16 and INT8 variants of installed models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tritonpose_server.engines.openvino import cpu_has_bf16
from tritonpose_server.errors import EmbeddedServerError
from tritonpose_server.models import calibration
from tritonpose_server.models.open_models.catalog import DEFAULT_DETECTOR
from tritonpose_server.models.precision import Precision, make_bf16, make_int8, read_base
from tritonpose_server.models.store import ModelStore


def make_variant(
    store: ModelStore,
    name: str,
    precision: Precision,
    images: Sequence[Path],
    progress: Callable[[str], None],
    detector: str | None = None,
) -> Path:
    """Make a variant of an installed model that computes in less than FP32.

    Args:
        store: Where models are kept.
        name: The model.
        precision: ``bf16`` or ``int8``.
        images: Image files and directories to calibrate ``int8`` with; none for ``bf16``.
        progress: Called with lines for the user.
        detector: Finds the persons in these images where the model is a keypoint model; default:
            the open detector.

    Returns:
        Directory of the variant, a model named ``NAME-PRECISION``. One that exists is replaced.

    Raises:
        ConversionError: The model is not installed, is a variant itself, or does not fit.
        InputError: A calibration file can't be read or is no image.
        EmbeddedServerError: The CPU has no bf16, or the calibration images or the detector don't
            do.
    """
    read_base(store, name)
    if precision == "bf16":
        if images:
            raise EmbeddedServerError("bf16 needs no calibration images")
        if not cpu_has_bf16():
            raise EmbeddedServerError(
                "this machine's CPU has no bf16 instructions, so bf16 would gain nothing: use "
                "int8 or FP32"
            )
        return make_bf16(store, name)
    inputs = calibration_inputs(store, name, images, detector or DEFAULT_DETECTOR)
    progress(f"{name}: calibrating with {len(inputs)} inputs")
    return make_int8(store, name, inputs)


def calibration_inputs(
    store: ModelStore, name: str, images: Sequence[Path], detector: str
) -> list[npt.NDArray[np.uint8]]:
    """What a model gets for photos.

    Args:
        store: Where models are kept.
        name: The model.
        images: Image files and directories.
        detector: Finds the persons in them where the model is a keypoint model.

    Returns:
        uint8 ``[h, w, 3]`` RGB each.

    Raises:
        InputError: A file can't be read or is no image.
        EmbeddedServerError: The images or the detector don't do.
    """
    from tritonpose_pipeline.errors import ModelError
    from tritonpose_pipeline.repository import ModelRepository

    repository = ModelRepository(store.root)
    try:
        if name in repository.names("detector"):
            return calibration.detector_inputs(repository.detector(name), images)
        return calibration.person_crops(
            repository.keypoint_model(name), repository.detector(detector), images, store
        )
    except ModelError as error:
        raise EmbeddedServerError(str(error)) from error
