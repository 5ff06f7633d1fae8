"""What a reader of a format finds in the header of an image file."""

from __future__ import annotations

from typing import NamedTuple

from tritonpose_pipeline.file_formats.exif import UPRIGHT, swaps_sides


class ImageHeader(NamedTuple):
    """What an encoded image claims to be.

    Attributes:
        width: In pixels, as stored: before it is turned.
        height: In pixels, as stored: before it is turned.
        scans: Passes over the whole image that its decoding takes.
        orientation: How it is to be turned once it is decoded, as EXIF numbers it, 1 to 8.
        animated: Whether further frames belong to the picture.
        several: Whether a further picture of the same kind follows the first one's end, as in a
            camera's stream; pictures that are attached to the first one don't count.
    """

    width: int
    height: int
    scans: int = 1
    orientation: int = UPRIGHT
    animated: bool = False
    several: bool = False

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the turned picture, in pixels."""
        sideways = swaps_sides(self.orientation)
        return (self.height, self.width) if sideways else (self.width, self.height)
