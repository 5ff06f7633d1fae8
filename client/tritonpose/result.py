"""The result of one image: PaddleX's dict, with its ways to print, save and draw it."""

from __future__ import annotations

import json as json_format_module
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tritonpose.inputs import decode_image
from tritonpose.saving import (
    image_path,
    json_path,
    to_jsonable,
    unnamed_stem,
    write_image,
    write_json,
)

if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator, Mapping, ValuesView

    from numpy.typing import NDArray
    from PIL.Image import Image

    from tritonpose.errors import TritonPoseError
    from tritonpose.transport.messages import PoseResponse

StrPath = str | os.PathLike[str]

_IMAGE_KEY = "input_img"

# PaddleX changes NumPy's options for the whole process; these are its settings, used only
# while printing. "1.21" writes scalars as plain numbers under NumPy 2 as well.
_PRINT_OPTIONS: Mapping[str, Any] = {"threshold": 1, "edgeitems": 1, "legacy": "1.21"}


@dataclass(frozen=True)
class _Encoded:
    """Stands for an image in a result until somebody asks for it."""

    data: bytes


class KeypointResult(dict[str, Any]):
    """The people found in one image.

    A dict with the keys of PaddleX's result:

    - ``input_path``: the image's path, or None for an array.
    - ``input_img``: (H, W, 3) uint8, BGR, EXIF orientation applied. Decoded when first asked
      for, as few callers ever ask. None if there is no image because of an `error`.
    - ``boxes``: one dict per person, by descending score: ``coordinate``, four np.float32 x1,
      y1, x2, y2 in pixels; ``det_score``, a float; ``keypoints``, (17, 3) float32 x, y in
      pixels and score, in COCO order; ``kpt_score``, np.float32, the mean keypoint score.
    - ``page_index``: only for files with several images, the number of this one, from 0.

    Attributes:
        error: Why there are no results, where ``predict(on_error="collect")`` met an error;
            else None.

    Args:
        input_path: See above.
        source: The image: an encoded file, a decoded image, or None.
        boxes: See above.
        page_index: See above; None leaves the key out.
        error: See above.
    """

    error: TritonPoseError | None

    def __init__(
        self,
        input_path: str | None = None,
        source: bytes | NDArray[np.uint8] | None = None,
        boxes: list[dict[str, Any]] | None = None,
        *,
        page_index: int | None = None,
        error: TritonPoseError | None = None,
    ) -> None:
        super().__init__(
            input_path=input_path,
            input_img=_Encoded(source) if isinstance(source, bytes) else source,
            boxes=[] if boxes is None else boxes,
        )
        if page_index is not None:
            self["page_index"] = page_index
        self.error = error
        self._unnamed_stem = unnamed_stem()

    # Every way to read a dict's values decodes the image first. Overriding __iter__ makes
    # dict(result) and {**result} use these methods instead of reading the memory of the dict.

    def __getitem__(self, key: str) -> Any:
        if key == _IMAGE_KEY:
            self._decode()
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[str]:
        return super().__iter__()

    def get(self, key: str, default: Any = None) -> Any:
        """As `dict.get`."""
        if key == _IMAGE_KEY:
            self._decode()
        return super().get(key, default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """As `dict.setdefault`."""
        self._decode()
        return super().setdefault(key, default)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """As `dict.items`."""
        self._decode()
        return super().items()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """As `dict.values`."""
        self._decode()
        return super().values()

    def pop(self, key: str, *default: Any) -> Any:
        """As `dict.pop`."""
        self._decode()
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, Any]:
        """As `dict.popitem`."""
        self._decode()
        return super().popitem()

    def copy(self) -> KeypointResult:
        """A shallow copy; the image stays encoded in it."""
        duplicate = KeypointResult()
        duplicate.clear()
        duplicate.update(super().items())
        duplicate.__dict__.update(self.__dict__)
        return duplicate

    def __or__(self, other: Any) -> Any:
        return dict(self) | other

    def __ror__(self, other: Any) -> Any:
        return other | dict(self)

    def print(
        self,
        json_format: bool = False,
        indent: int = 4,
        ensure_ascii: bool = False,
        *,
        format_json: bool | None = None,
    ) -> None:
        """Prints ``{'res': ...}``, without the image, to standard output.

        Args:
            json_format: Print JSON with all numbers, instead of Python's notation with
                abbreviated arrays.
            indent: Spaces per level of JSON.
            ensure_ascii: Escape all but ASCII characters in JSON.
            format_json: The name that PaddleX's guide gives to `json_format`.
        """
        if json_format or format_json:
            text = json_format_module.dumps(self.json, indent=indent, ensure_ascii=ensure_ascii)
        else:
            with np.printoptions(**_PRINT_OPTIONS):
                text = repr(self.str)
        print(text)

    def save_to_json(self, save_path: StrPath, indent: int = 4, ensure_ascii: bool = False) -> None:
        """Writes what ``json["res"]`` holds.

        Args:
            save_path: A .json file, or a directory to write ``{stem}_res.json`` to. Missing
                directories are made.
            indent: Spaces per level.
            ensure_ascii: Escape all but ASCII characters.
        """
        path = json_path(save_path, self._file_name().stem)
        write_json(path, self.json["res"], indent=indent, ensure_ascii=ensure_ascii)

    def save_to_img(self, save_path: StrPath) -> None:
        """Writes the image with the poses drawn on it.

        Args:
            save_path: An image file, or a directory to write ``{stem}_res{suffix}`` to (.png
                where the input has no path or a suffix that can't be written). Missing
                directories are made.

        Raises:
            TritonPoseError: The result has an `error` and no image.
        """
        name = self._file_name()
        write_image(image_path(save_path, name.stem, name.suffix), self.img["res"])

    def save_all(self, save_path: StrPath) -> None:
        """Writes both files, as `save_to_json` and `save_to_img` do."""
        self.save_to_json(save_path)
        self.save_to_img(save_path)

    @property
    def img(self) -> dict[str, Image]:
        """``{"res": image}``: the rendered poses as a Pillow image (RGB).

        Raises:
            TritonPoseError: The result has an `error`.
        """
        from PIL import Image

        from tritonpose.render import draw_poses

        if self.error is not None:
            raise self.error
        people = [np.asarray(box["keypoints"], dtype=np.float32) for box in self["boxes"]]
        keypoints = np.stack(people) if people else np.empty((0, 17, 3), dtype=np.float32)
        canvas = draw_poses(self[_IMAGE_KEY], keypoints)
        return {"res": Image.fromarray(canvas[..., ::-1])}

    def _decode(self) -> None:
        """Replaces the encoded image, if there still is one, by the decoded one."""
        image = super().get(_IMAGE_KEY)
        if isinstance(image, _Encoded):
            name = super().get("input_path") or "the image"
            self[_IMAGE_KEY] = decode_image(image.data, name)[0]

    def _file_name(self) -> Path:
        """The file name that the names of saved files derive from."""
        path = Path(Path(self["input_path"] or self._unnamed_stem).name)
        page = self.get("page_index")
        return path if page is None else path.with_stem(f"{path.stem}_{page}")

    # Last, as these names hide the builtin and the module from annotations further down.

    @property
    def json(self) -> dict[str, dict[str, Any]]:
        """``{"res": ...}`` in types that JSON knows, without the image."""
        return {"res": to_jsonable(self.str["res"])}

    @property
    def str(self) -> dict[str, dict[str, Any]]:
        """``{"res": ...}`` without the image; with the key ``error`` where there is one."""
        content = {key: value for key, value in super().items() if key != _IMAGE_KEY}
        if self.error is not None:
            content["error"] = f"{type(self.error).__name__}: {self.error}"
        return {"res": content}


def boxes_from(response: PoseResponse) -> list[dict[str, Any]]:
    """Turns a response into the ``boxes`` of a result."""
    return [
        {
            "coordinate": list(box),
            "det_score": float(det_score),
            "keypoints": keypoints,
            "kpt_score": kpt_score,
        }
        for box, det_score, keypoints, kpt_score in zip(
            response.boxes,
            response.det_scores,
            response.keypoints,
            response.kpt_scores,
            strict=True,
        )
    ]
