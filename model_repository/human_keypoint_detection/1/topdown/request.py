"""A request's tensors, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from topdown.errors import InvalidRequestError
from topdown.image import Image, check_image, decode_image
from topdown.options import PipelineDefaults, PoseOptions, resolve_options
from topdown.repository import ModelRepository


@dataclass(frozen=True)
class PoseRequest:
    """What a client sent.

    Attributes:
        image: uint8 ``[L]``, an encoded file, or None.
        frame: uint8 ``[H, W, 3]``, BGR, or None.
        det_threshold: float32 ``[1]``, or None.
        parameters: The request's parameters.
    """

    image: npt.NDArray[Any] | None
    frame: npt.NDArray[Any] | None
    det_threshold: npt.NDArray[Any] | None
    parameters: Mapping[str, object]

    def decode(self) -> Image:
        """Give the image as pixels, uint8 ``[H, W, 3]``, BGR.

        Raises:
            InvalidRequestError: There is none, or two, or it can't be used.
        """
        if (self.image is None) == (self.frame is None):
            both = self.image is not None
            raise InvalidRequestError(
                "send exactly one of `image` (encoded file) and `frame` (decoded, BGR), "
                f"got {'both' if both else 'neither'}"
            )
        if self.image is not None:
            return decode_image(np.asarray(self.image, np.uint8))
        return check_image(np.asarray(self.frame, np.uint8))

    def resolve_options(
        self, defaults: PipelineDefaults, repository: ModelRepository
    ) -> PoseOptions:
        """Combine the request's choices with the defaults.

        Raises:
            InvalidRequestError: A choice is malformed or not offered.
        """
        threshold = None if self.det_threshold is None else float(self.det_threshold.reshape(-1)[0])
        return resolve_options(defaults, repository, threshold, self.parameters)
