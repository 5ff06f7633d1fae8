"""People that the caller has found: which boxes belong to which image of ``predict``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sized
from numbers import Real
from typing import TYPE_CHECKING

from tritonpose.errors import ConfigError
from tritonpose.inputs import FileInput, ImageInput, path_of
from tritonpose_pipeline.regions import RegionError, check_boxes, check_region

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_EXPECTED = (
    "(N, 4), x1, y1, x2, y2 in pixels, for one image; for several a list of such, one for each in "
    "their order, or a dict of such by path"
)


class GivenBoxes:
    """Hands out the boxes of the images of one ``predict``, in the order of the images."""

    def __init__(self, boxes: object) -> None:
        """Take the argument ``boxes``, checked as far as it has been made; or ConfigError."""
        self._by_path: dict[str, NDArray[np.float32] | None] | None = None
        self._following: Iterator[NDArray[np.float32] | None] = iter(())
        self._count: int | None = None
        self._taken = 0
        if isinstance(boxes, Mapping):
            self._by_path = {
                str(path): _checked(each, f"boxes[{path!r}]") for path, each in boxes.items()
            }
        elif _is_of_one_image(boxes):
            self._following = iter([_checked(boxes, "boxes")])
            # An empty list may as well be that of no images.
            self._count = 1 if len(boxes) else None  # type: ignore[arg-type]
        elif isinstance(boxes, Iterable) and not isinstance(boxes, str | bytes):
            self._following = (_checked(each, f"boxes[{at}]") for at, each in enumerate(boxes))
            if isinstance(boxes, Sized):
                of_each = list(self._following)
                self._count = len(of_each)
                self._following = iter(of_each)
        else:
            raise ConfigError(f"boxes of type {type(boxes).__name__}: expected {_EXPECTED}")

    def take(self, source: object) -> tuple[object, NDArray[np.float32] | None]:
        """Return an item of `expand_inputs` with its boxes; None where a detector is to look.

        The item is replaced by one with a problem where it has none by its path. ConfigError: there
        are fewer boxes than images, or those of an iterator are wrong.
        """
        if self._by_path is not None:
            return self._take_by_path(source, self._by_path)
        try:
            boxes = next(self._following)
        except StopIteration:
            raise ConfigError(
                f"boxes are of {_images(self._taken)}, but there are more: give {_EXPECTED}"
            ) from None
        self._taken += 1
        return source, boxes

    def finish(self) -> None:
        """Raise ConfigError if there are boxes for more images than there were."""
        if self._count is not None and self._taken < self._count:
            raise ConfigError(
                f"boxes are of {_images(self._count)}, but there were only {self._taken}: give "
                f"{_EXPECTED}"
            )

    @staticmethod
    def _take_by_path(
        source: object, by_path: Mapping[str, NDArray[np.float32] | None]
    ) -> tuple[object, NDArray[np.float32] | None]:
        path = path_of(source)
        if isinstance(source, ImageInput) and source.frame_index is not None:
            problem = (
                f"boxes by path can't tell the frames of {path!r} apart: give those of each frame "
                "in their order, as a list or an iterator"
            )
        elif path is None:
            problem = "boxes are given by path, but this input has none: give a list of boxes"
        elif path not in by_path:
            problem = (
                f"boxes has no entry for {path!r}: add its boxes, or None to run the detector on it"
            )
        else:
            return source, by_path[path]
        return FileInput(path or "", problem=problem), None


def checked_roi(roi: object) -> NDArray[np.float32] | None:
    """Check the argument ``roi``: corners of a polygon, or None; raise ConfigError."""
    if roi is None:
        return None
    try:
        return check_region(roi, "roi").copy()
    except RegionError as error:
        raise ConfigError(str(error)) from None


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _is_of_one_image(boxes: object) -> bool:
    """Tell boxes from a list of such; an empty list is of an image without people."""
    if hasattr(boxes, "__array__"):
        return len(getattr(boxes, "shape", ())) < 3
    if not isinstance(boxes, list | tuple):
        return False
    if not boxes:
        return True
    first = boxes[0]
    if hasattr(first, "__array__"):
        return len(getattr(first, "shape", ())) < 2
    if isinstance(first, list | tuple):
        return bool(first) and isinstance(first[0], Real | str)
    return first is not None and not isinstance(first, Iterable)


def _checked(boxes: object, name: str) -> NDArray[np.float32] | None:
    if boxes is None:
        return None
    try:
        # Copied: the caller may reuse the buffer.
        return check_boxes([] if getattr(boxes, "shape", None) == (0,) else boxes, name).copy()
    except RegionError as error:
        raise ConfigError(str(error)) from None
