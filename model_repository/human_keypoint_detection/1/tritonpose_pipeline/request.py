"""A request's tensors, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tritonpose_pipeline.detection import Persons
from tritonpose_pipeline.errors import BadImageError, BadRequestError
from tritonpose_pipeline.image import Image, check_file, check_frame, decode_image
from tritonpose_pipeline.limits import Limits
from tritonpose_pipeline.options import PoseOptions, resolve_options
from tritonpose_pipeline.repository import ModelRepository
from tritonpose_pipeline.settings import PipelineSettings

# Of given boxes, which may reach beyond the image; far more than any image has.
_MAX_COORDINATE = 1_000_000


@dataclass(frozen=True)
class PoseRequest:
    """What a client sent.

    Attributes:
        image: An encoded file, or None.
        frame: uint8 ``[H, W, 3]``, BGR, or None.
        det_threshold: float32 ``[1]``, or None.
        parameters: The request's parameters.
        person_boxes: float32 ``[N, 4]``, persons found elsewhere, or None.
    """

    image: bytes | None
    frame: npt.NDArray[Any] | None
    det_threshold: npt.NDArray[Any] | None
    parameters: Mapping[str, object]
    person_boxes: npt.NDArray[Any] | None = None

    def check_image(self, limits: Limits) -> int:
        """Check the image as far as that goes without decoding it.

        Returns:
            The number of its pixels.

        Raises:
            BadImageError: There is none, or two, or it can't be used.
        """
        if (self.image is None) == (self.frame is None):
            both = self.image is not None
            raise BadImageError(
                "send exactly one of `image` (encoded file) and `frame` (decoded, BGR), "
                f"got {'both' if both else 'neither'}"
            )
        if self.image is not None:
            header = check_file(self.image, limits)
            return header.width * header.height
        height, width = check_frame(np.asarray(self.frame, np.uint8), limits).shape[:2]
        return height * width

    def decode(self) -> Image:
        """Give the image, which passed `check_image`, as pixels: uint8 ``[H, W, 3]``, BGR.

        Raises:
            DamagedImageError: It can't be decoded.
        """
        if self.image is not None:
            return decode_image(self.image)
        return np.asarray(self.frame, np.uint8)

    def given_persons(self, limits: Limits) -> Persons | None:
        """The persons whose keypoints are asked for, None where they are to be detected.

        Raises:
            BadRequestError: A box is malformed, or there are too many.
        """
        if self.person_boxes is None:
            return None
        boxes = np.asarray(self.person_boxes, np.float32)
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise BadRequestError(
                f"`person_boxes` must be float32 [N, 4] (x1, y1, x2, y2), got {list(boxes.shape)}"
            )
        if len(boxes) > limits.max_persons:
            raise BadRequestError(
                f"`person_boxes` has {len(boxes)} boxes; up to {limits.max_persons} (max_persons) "
                "are accepted: send them in several requests"
            )
        # Written so that NaN is improper, too.
        near = (np.abs(boxes) <= _MAX_COORDINATE).all(axis=1)
        proper = near & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        if not proper.all():
            index = int(np.argmin(proper))
            raise BadRequestError(
                f"`person_boxes` must have x1 < x2 and y1 < y2 within {_MAX_COORDINATE} pixels, "
                f"box {index} is {boxes[index].tolist()}"
            )
        return Persons(boxes, np.ones(len(boxes), np.float32))

    def resolve_options(
        self, settings: PipelineSettings, repository: ModelRepository
    ) -> PoseOptions:
        """Combine the request's choices with the settings.

        Raises:
            BadRequestError: A choice is malformed or not offered.
        """
        threshold = None if self.det_threshold is None else float(self.det_threshold.reshape(-1)[0])
        return resolve_options(settings, repository, threshold, self.parameters)
