"""The result of one image: PaddleX's dict, with its ways to print, save, draw and export it."""

from __future__ import annotations

import json as json_module
import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from tritonpose.lazy_image import IMAGE_KEY, EncodedImage, LazyImageDict
from tritonpose.naming import last_part, numbered, unnamed_stem
from tritonpose.saving import image_path, json_path, to_jsonable, write_image, write_json

if TYPE_CHECKING:
    import pandas
    import supervision
    from numpy.typing import NDArray
    from PIL.Image import Image

    from tritonpose.errors import TritonPoseError

StrPath = str | os.PathLike[str]

# PaddleX changes NumPy's options for the whole process; these are its settings, used only
# while printing. "1.21" writes scalars as plain numbers under NumPy 2 as well.
_PRINT_OPTIONS: Mapping[str, Any] = {"threshold": 1, "edgeitems": 1, "legacy": "1.21"}


class KeypointResult(LazyImageDict):
    """The people found in one image.

    A dict with the keys of PaddleX's result:

    - ``input_path``: the path or URL of the image or video, or None for an array.
    - ``input_img``: (H, W, 3) uint8, BGR, EXIF orientation applied. Decoded when first asked
      for. None if there is no image because of an `error`.
    - ``boxes``: one dict per person, by descending score: ``coordinate``, four np.float32 x1,
      y1, x2, y2 in pixels; ``det_score``, a float; ``keypoints``, (17, 3) float32 x, y in
      pixels and score, in COCO order; ``kpt_score``, np.float32, the mean keypoint score.
    - ``page_index``: only for files with several images, the number of this one, from 0.
    - ``frame_index``: only for videos, the number of this frame, from 0.

    Attributes:
        truncated: Whether more people were found than the server gives for one image; ``boxes``
            has those with the best scores.
        error: Why there are no results, where ``predict(on_error="collect")`` met an error;
            else None.

    Args:
        input_path: See above.
        source: The image: an encoded file, a decoded image, or None.
        boxes: See above.
        page_index: See above; None leaves the key out.
        frame_index: See above; None leaves the key out.
        saved_as: Relative path that the names of saved files derive from, by default the last
            part of the input's path or URL.
        truncated: See above.
        error: See above.
    """

    truncated: bool
    error: TritonPoseError | None

    def __init__(
        self,
        input_path: str | None = None,
        source: bytes | NDArray[np.uint8] | None = None,
        boxes: list[dict[str, Any]] | None = None,
        *,
        page_index: int | None = None,
        frame_index: int | None = None,
        saved_as: str | None = None,
        truncated: bool = False,
        error: TritonPoseError | None = None,
    ) -> None:
        super().__init__(
            input_path=input_path,
            input_img=EncodedImage(source) if isinstance(source, bytes) else source,
            boxes=[] if boxes is None else boxes,
        )
        if page_index is not None:
            self["page_index"] = page_index
        if frame_index is not None:
            self["frame_index"] = frame_index
        self.truncated = truncated
        self.error = error
        self._saved_as = saved_as
        self._unnamed_stem = unnamed_stem()

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
            text = json_module.dumps(self.json, indent=indent, ensure_ascii=ensure_ascii)
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
        path = json_path(save_path, self._file_name())
        write_json(path, self.json["res"], indent=indent, ensure_ascii=ensure_ascii)

    def save_to_img(
        self,
        save_path: StrPath,
        *,
        boxes: bool = False,
        scores: bool = False,
        ids: bool = False,
    ) -> None:
        """Writes what `render` draws.

        Args:
            save_path: An image file, or a directory to write ``{stem}_res{suffix}`` to (.png
                where the input has no path or a suffix that can't be written). Missing
                directories are made.
            boxes: As in `render`.
            scores: As in `render`.
            ids: As in `render`.

        Raises:
            TritonPoseError: The result has an `error` and no image.
        """
        image = self.render(boxes=boxes, scores=scores, ids=ids)
        write_image(image_path(save_path, self._file_name()), image)

    def save_all(self, save_path: StrPath) -> None:
        """Writes both files, as `save_to_json` and `save_to_img` do."""
        self.save_to_json(save_path)
        self.save_to_img(save_path)

    def render(self, *, boxes: bool = False, scores: bool = False, ids: bool = False) -> Image:
        """Draws the poses on the image; without further options exactly as PaddleX does.

        Args:
            boxes: Draw each person's box, in a color of its own.
            scores: Write each person's ``det_score`` at the box.
            ids: Write each person's index in ``boxes`` at the box.

        Returns:
            A Pillow image (RGB).

        Raises:
            TritonPoseError: The result has an `error`.
        """
        import cv2
        from PIL import Image

        from tritonpose.drawing.labels import draw_labels
        from tritonpose.drawing.poses import draw_poses

        if self.error is not None:
            raise self.error
        people = self["boxes"]
        keypoints = np.array([person["keypoints"] for person in people], dtype=np.float32)
        canvas = draw_poses(self[IMAGE_KEY], keypoints.reshape(-1, 17, 3))
        draw_labels(canvas, people, boxes=boxes, scores=scores, ids=ids)
        return Image.fromarray(cv2.cvtColor(canvas, cv2.COLOR_BGR2RGB))

    @property
    def img(self) -> dict[str, Image]:
        """``{"res": image}``: what `render` draws without options.

        Raises:
            TritonPoseError: The result has an `error`.
        """
        return {"res": self.render()}

    def to_coco(self, image_id: int, category_id: int = 1) -> list[dict[str, Any]]:
        """The people as COCO keypoint results, as pycocotools' ``loadRes`` takes them.

        See `tritonpose.export.coco.coco_results`.
        """
        from tritonpose.export.coco import coco_results

        return coco_results(self["boxes"], image_id, category_id)

    def to_supervision(self) -> supervision.KeyPoints:
        """The people as supervision's ``KeyPoints``.

        See `tritonpose.export.keypoints.supervision_keypoints`.

        Raises:
            ImportError: supervision isn't installed.
        """
        from tritonpose.export.keypoints import supervision_keypoints

        return supervision_keypoints(self["boxes"])

    def to_dataframe(self) -> pandas.DataFrame:
        """The keypoints as a pandas table, one row per person and keypoint.

        See `tritonpose.export.table.keypoint_table`.

        Raises:
            ImportError: pandas isn't installed.
        """
        from tritonpose.export.table import keypoint_table

        return keypoint_table(self.without_image())

    def _file_name(self) -> PurePath:
        """The relative path that saved files are named after."""
        if self._saved_as is not None:
            name = PurePath(self._saved_as)
        elif self["input_path"] is not None:
            name = last_part(os.fspath(self["input_path"]))
        else:
            name = PurePath(self._unnamed_stem)
        return numbered(name, self.get("page_index"), self.get("frame_index"))

    # Last, as these names hide the builtin and the module from annotations further down.

    @property
    def json(self) -> dict[str, dict[str, Any]]:
        """``{"res": ...}`` in types that JSON knows, without the image."""
        return {"res": to_jsonable(self.str["res"])}

    @property
    def str(self) -> dict[str, dict[str, Any]]:
        """``{"res": ...}`` without the image.

        With the key ``truncated`` where that is true, and ``error`` where there is one.
        """
        content = self.without_image()
        if self.truncated:
            content["truncated"] = True
        if self.error is not None:
            content["error"] = f"{type(self.error).__name__}: {self.error}"
        return {"res": content}
