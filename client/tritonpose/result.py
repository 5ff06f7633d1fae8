"""The result of one image: PaddleX's dict, with methods to print, save, draw and export it."""

from __future__ import annotations

import json as json_module
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tritonpose.inputs import decode_source
from tritonpose.lazy_dict import LazyDict
from tritonpose.saving import (
    TakenNames,
    fitting,
    image_path,
    json_path,
    last_part,
    numbered,
    to_jsonable,
    unnamed_stem,
    write_image,
    write_json,
)
from tritonpose.transport.messages import PoseResponse

if TYPE_CHECKING:
    import pandas
    import supervision
    from numpy.typing import NDArray
    from PIL.Image import Image
    from typing_extensions import Self

    from tritonpose.errors import TritonPoseError
    from tritonpose_pipeline.keypoint_schema import KeypointSchema
    from tritonpose_pipeline.pages import EncodedPage

    Source = bytes | EncodedPage | NDArray[np.uint8]

# The longer side of pictures in notebooks, which keep them in their files.
_SHOWN_PIXELS = 640

StrPath = str | os.PathLike[str]

# Used only while printing: arrays whole, as in PaddleX's guide, and scalars as plain numbers under
# NumPy 2 as well.
_PRINT_OPTIONS: Mapping[str, Any] = {"threshold": sys.maxsize, "legacy": "1.21"}


class KeypointResult(LazyDict):
    """The people found in one image.

    A dict with the keys of PaddleX's result:

    - ``input_path``: the path or URL of the image or video, or None for an array.
    - ``input_img``: (H, W, 3) uint8, BGR, EXIF orientation applied. Decoded when first asked
      for. None if there is no image because of an `error`.
    - ``boxes``: one dict per person, by descending score: ``coordinate``, four np.float32 x1,
      y1, x2, y2 in pixels; ``det_score``, a float; ``keypoints``, (K, 3) float32 x, y in
      pixels and score, in the order of `keypoint_schema`; ``kpt_score``, np.float32, the mean
      keypoint score. Made from `arrays` when first asked for.
    - ``page_index``: only for files with several images, the number of this one, from 0.
    - ``frame_index``: only for videos, the number of this frame, from 0.
    - ``frame_time``: only for videos, the seconds from the first frame to this one.

    Attributes:
        truncated: Whether more people were found than the server gives for one image; ``boxes``
            has those with the best scores.
        error: Why there are no results, where ``predict(on_error="collect")`` met an error;
            else None.

    Args:
        input_path: See above, as for the further arguments of these names; None as
            `page_index`, `frame_index` or `frame_time` leaves the key out.
        source: The image: an encoded file, a page of one, a decoded image, or None.
        boxes: See above; or the arrays to make them of.
        saved_as: Relative path that the names of saved files derive from, by default the last
            part of the input's path or URL.
    """

    truncated: bool
    error: TritonPoseError | None

    def __init__(
        self,
        input_path: str | None = None,
        source: Source | None = None,
        boxes: PoseResponse | list[dict[str, Any]] | None = None,
        *,
        page_index: int | None = None,
        frame_index: int | None = None,
        frame_time: float | None = None,
        saved_as: str | None = None,
        truncated: bool = False,
        error: TritonPoseError | None = None,
    ) -> None:
        super().__init__(
            input_path=input_path,
            input_img=source
            if source is None or isinstance(source, np.ndarray)
            else partial(decode_source, source, input_path),
            boxes=partial(PoseResponse.to_paddlex, boxes)
            if isinstance(boxes, PoseResponse)
            else ([] if boxes is None else boxes),
        )
        if page_index is not None:
            self["page_index"] = page_index
        if frame_index is not None:
            self["frame_index"] = frame_index
        if frame_time is not None:
            self["frame_time"] = frame_time
        self.truncated = truncated
        self.error = error
        self._schema = boxes.schema if isinstance(boxes, PoseResponse) else None
        self._saved_as = saved_as
        self._file: PurePath | None = None
        # Made here, so that all files of a result and of its copies have one name.
        self._unnamed_stem = unnamed_stem() if input_path is None else None

    @property
    def arrays(self) -> PoseResponse:
        """The people as arrays, one row per person, in the order of ``boxes``.

        The arrays from the server until ``boxes`` is used; then they are collected from it, so
        that they follow what the caller changes there.
        """
        held = self.held("boxes")
        if isinstance(held, partial):
            return cast("PoseResponse", held.args[0])
        return replace(PoseResponse.from_paddlex(held, self._schema), truncated=self.truncated)

    @property
    def keypoint_schema(self) -> KeypointSchema:
        """What the keypoints are: their names, limbs, colors, mirrored pairs and sigmas.

        Those of COCO if there are 17 and nobody said anything else.
        """
        return self.arrays.schema

    def held_image(self) -> Source | None:
        """Return the image without decoding it: the encoded file, if it has not been decoded."""
        held = self.held("input_img")
        return cast("Source | None", held.args[0] if isinstance(held, partial) else held)

    def copy(self) -> Self:
        """Make a shallow copy, which has the same ``boxes``."""
        _ = self["boxes"]
        return super().copy()

    __copy__ = copy

    def print(
        self,
        json_format: bool = False,
        indent: int = 4,
        ensure_ascii: bool = False,
        *,
        format_json: bool | None = None,
    ) -> None:
        """Print ``{'res': ...}``, without the image, to standard output.

        Args:
            json_format: Print JSON instead of Python's notation.
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
        """Write what ``json["res"]`` holds.

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
        """Write what `render` draws.

        Args:
            save_path: An image file, or a directory to write ``{stem}_res{suffix}`` to (.png
                where the input has no path or a suffix that can't be written). Missing
                directories are made.
            boxes: As in `render`, as are `scores` and `ids`.
            scores: See `boxes`.
            ids: See `boxes`.

        Raises:
            TritonPoseError: The result has an `error` and no image.
        """
        image = self.render(boxes=boxes, scores=scores, ids=ids)
        write_image(image_path(save_path, self._file_name()), image)

    def save_all(self, save_path: StrPath) -> None:
        """Write both files, as `save_to_json` and `save_to_img` do."""
        self.save_to_json(save_path)
        self.save_to_img(save_path)

    def render(self, *, boxes: bool = False, scores: bool = False, ids: bool = False) -> Image:
        """Draw the poses on the image; without further options exactly as PaddleX does.

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
        arrays = self.arrays
        canvas = draw_poses(self["input_img"], arrays.keypoints, arrays.schema)
        draw_labels(canvas, arrays, boxes=boxes, scores=scores, ids=ids)
        return Image.fromarray(cv2.cvtColor(canvas, cv2.COLOR_BGR2RGB))

    def _repr_png_(self) -> bytes | None:
        """Make the picture that notebooks show, small; None where there is no image."""
        if self.error is not None:
            return None
        picture = self.render()
        picture.thumbnail((_SHOWN_PIXELS, _SHOWN_PIXELS))
        with BytesIO() as file:
            picture.save(file, "PNG")
            return file.getvalue()

    @property
    def img(self) -> dict[str, Image]:
        """``{"res": image}``: what `render` draws without options; raises what it raises."""
        return {"res": self.render()}

    def to_coco(self, image_id: int, category_id: int = 1) -> list[dict[str, Any]]:
        """Make COCO keypoint results; see `tritonpose.export.coco_results`."""
        from tritonpose.export import coco_results

        return coco_results(self.arrays, image_id, category_id)

    def to_supervision(self) -> supervision.KeyPoints:
        """Make supervision's ``KeyPoints``; see `tritonpose.export.supervision_keypoints`."""
        from tritonpose.export import supervision_keypoints

        return supervision_keypoints(self.arrays)

    def to_dataframe(self) -> pandas.DataFrame:
        """Make a pandas table; see `tritonpose.export.keypoint_table`."""
        from tritonpose.export import keypoint_table

        return keypoint_table(
            self.arrays, self["input_path"], self.get("page_index"), self.get("frame_index")
        )

    def name_apart(self, taken: TakenNames, source: int = 0) -> None:
        """Choose a name for saved files that no other result of the run has.

        Sources that take turns have numbers.
        """
        if self._saved_as is not None or self["input_path"] is not None:
            self._file = taken.claim(
                self._base_name(), self.get("page_index"), self.get("frame_index"), source
            )

    def _file_name(self) -> PurePath:
        """Return the relative path that saved files are named after."""
        if self._file is not None:
            return self._file
        return numbered(self._base_name(), self.get("page_index"), self.get("frame_index"))

    def _base_name(self) -> PurePath:
        """Return that path before pages and frames are numbered."""
        if self._saved_as is not None:
            return fitting(PurePath(self._saved_as))
        if self["input_path"] is not None:
            return fitting(last_part(os.fspath(self["input_path"])))
        return PurePath(self._unnamed_stem or unnamed_stem())

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
        content = {key: self[key] for key in self if key != "input_img"}
        if self.truncated:
            content["truncated"] = True
        if self.error is not None:
            content["error"] = f"{type(self.error).__name__}: {self.error}"
        return {"res": content}
