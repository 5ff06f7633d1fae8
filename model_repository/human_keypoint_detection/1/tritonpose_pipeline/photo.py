"""The image of a request, decoded as finely as it is looked at."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tritonpose_pipeline.image import EncodedImage, Image, decode_image, decode_reduced
from tritonpose_pipeline.telemetry.spans import TimeStage, untimed

# At which libjpeg decodes a JPEG by its low frequencies alone, for less work.
_FACTORS = (8, 4, 2)

DoubleArray = npt.NDArray[np.float64]


class Picture(NamedTuple):
    """The pixels of an image, or fewer that stand for them.

    Attributes:
        pixels: uint8 ``[h, w, 3]``, BGR.
        factor: Pixels of the image, in each direction, for which each of these stands.
        origin: x, y of the corner of the first of them, in pixels of the image: not positive.
    """

    pixels: Image
    factor: int = 1
    origin: tuple[float, float] = (0.0, 0.0)

    def from_image(self, matrices: DoubleArray) -> DoubleArray:
        """Change what leads from pixels of the image so that it leads from pixels of this.

        Args:
            matrices: float64 ``[N, 2, 3]``, affine, between centers of pixels.
        """
        if self.factor == 1:
            return matrices
        changed = matrices.copy()
        first = np.array(self.origin) + (self.factor - 1) / 2
        changed[:, :, 2] += matrices[:, :, :2] @ first
        changed[:, :, :2] *= self.factor
        return changed


class Photo:
    """The image of a request, decoded when it is looked at.

    Attributes:
        fast: Whether it may be decoded at a fraction of its size: asked for, and a JPEG.
    """

    def __init__(
        self, source: EncodedImage | Image, *, fast: bool = False, stages: TimeStage = untimed
    ) -> None:
        """Take a file, or pixels uint8 ``[H, W, 3]``, BGR; ``stages`` times the decoding."""
        self._source = source
        self._stages = stages
        self.fast = fast and isinstance(source, EncodedImage) and source.format == "JPEG"
        self._decoded: dict[int, Picture] = {}

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        if isinstance(self._source, EncodedImage):
            return self._source.header.size
        return self._source.shape[1], self._source.shape[0]

    def factor(self, scale: float) -> int:
        """Choose how many pixels, in each direction, may become one where `scale` of them would."""
        return next((each for each in _FACTORS if self.fast and each <= scale), 1)

    def picture(self, factor: int = 1) -> Picture:
        """Decode the image by a factor that `factor` has chosen; raises what decoding raises."""
        if factor not in self._decoded:
            with self._stages("decode"):
                self._decoded[factor] = self._decode(factor)
        return self._decoded[factor]

    def pictures(
        self, scales: npt.NDArray[np.float32]
    ) -> list[tuple[Picture, npt.NDArray[np.bool_]]]:
        """Decode the image for crops, in which `scales` of its pixels become one each.

        Args:
            scales: float32 ``[N]``.

        Returns:
            Pictures, and a mask ``[N]`` of the crops each is for. What is decoded already serves
            where it is fine enough, and one more picture for all others.
        """
        factors = np.array([self.factor(scale) for scale in scales])
        # Of what was decoded, the coarsest: there is one, unless people are given.
        decoded = max(self._decoded, default=int(factors.min()))
        coarse = factors >= decoded
        found = [(self.picture(decoded), coarse)] if coarse.any() else []
        if not coarse.all():
            found.append((self.picture(int(factors[~coarse].min())), ~coarse))
        return found

    def _decode(self, factor: int) -> Picture:
        if not isinstance(self._source, EncodedImage):
            return Picture(self._source)
        if factor == 1:
            return Picture(decode_image(self._source))
        pixels, origin = decode_reduced(self._source, factor)
        return Picture(pixels, factor, origin)
