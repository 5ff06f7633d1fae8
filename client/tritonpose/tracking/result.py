"""The result of one frame: who is in it, and where."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tritonpose.result import KeypointResult
from tritonpose.saving import image_path, write_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from tritonpose.drawing.trails import Trails
    from tritonpose.result import StrPath
    from tritonpose.transport.messages import PoseResponse


class TrackedResult(KeypointResult):
    """The people in one frame of a source, each with a number that stays.

    A `KeypointResult` with further keys:

    - in each of ``boxes``: ``track_id``, the person's id in this source, from 1; None for
      somebody seen for the first time, who may be none.
    - ``frame_index``: the number of the frame in its source, from 0; dropped ones count.
    - ``timestamp``: seconds since the source's first frame; those of the video or the stream.
    - ``source``: the source's name, without credentials.

    Attributes:
        source_index: The place of the source among those of the call, from 0: names may be equal.
        track_keys: As the tracker names the tracks, also before they get an id.

    Args:
        result: What the pipeline found in the frame.
        people: The people to show.
        track_ids: Their ids.
        timestamp: See above.
        source: See above.
    """

    source_index: int = 0
    track_keys: Sequence[int | None] = ()

    def __init__(
        self,
        result: KeypointResult,
        people: PoseResponse | None,
        track_ids: Sequence[int | None],
        timestamp: float,
        source: str | None,
    ) -> None:
        super().__init__(
            result["input_path"],
            result.held_image(),
            people,
            page_index=result.get("page_index"),
            frame_index=result.get("frame_index"),
            frame_time=result.get("frame_time"),
            saved_as=result._saved_as,
            truncated=result.truncated,
            error=result.error,
        )
        if people is not None:
            self.show(people, track_ids)
        self["timestamp"] = timestamp
        self["source"] = source

    def show(self, people: PoseResponse, track_ids: Sequence[int | None]) -> None:
        """Replace the people by these, with their ids."""
        self["boxes"] = partial(_with_ids, people, tuple(track_ids))

    @property
    def track_ids(self) -> tuple[int | None, ...]:
        """The people's ids, in the order of ``boxes`` and `arrays`."""
        held = self.held("boxes")
        if isinstance(held, partial):
            ids: tuple[int | None, ...] = held.args[1]
            return ids
        return tuple(person.get("track_id") for person in held)

    @property
    def timestamp(self) -> float:
        """Seconds since the source's first frame."""
        seconds: float = self["timestamp"]
        return seconds

    @property
    def source(self) -> str | None:
        """The source's name, without credentials."""
        name: str | None = self["source"]
        return name

    @property
    def frame_index(self) -> int | None:
        """The number of the frame in its source, from 0."""
        index: int | None = self.get("frame_index")
        return index

    def draw(
        self,
        *,
        boxes: bool = False,
        scores: bool = False,
        ids: bool = True,
        trails: Trails | None = None,
    ) -> NDArray[np.uint8]:
        """Draw the poses, and who is who, on a copy of the frame.

        Args:
            boxes: Draw each person's box, in the color of the id; gray without one.
            scores: Write each person's ``det_score`` at the box.
            ids: Write each person's ``track_id`` at the box.
            trails: Draw where each person came from. It remembers the people of each frame that
                is drawn with it: give the same one to all frames, in order.

        Returns:
            (H, W, 3) uint8, BGR.

        Raises:
            TritonPoseError: The result has an `error`.
        """
        from tritonpose.drawing.labels import draw_labels
        from tritonpose.drawing.poses import draw_poses

        if self.error is not None:
            raise self.error
        people, numbers = self.arrays, self.track_ids
        canvas = draw_poses(self["input_img"], people.keypoints, people.schema)
        if trails is not None:
            trails.draw(canvas, self.source_index, self.timestamp, numbers, people.boxes)
        draw_labels(canvas, people, boxes=boxes, scores=scores, ids=ids, numbers=numbers)
        return canvas

    def render(
        self,
        *,
        boxes: bool = False,
        scores: bool = False,
        ids: bool = True,
        trails: Trails | None = None,
    ) -> Image:
        """Draw as `draw` does, as a Pillow image (RGB)."""
        import cv2
        from PIL import Image

        drawn = self.draw(boxes=boxes, scores=scores, ids=ids, trails=trails)
        return Image.fromarray(cv2.cvtColor(drawn, cv2.COLOR_BGR2RGB))

    def save_to_img(
        self,
        save_path: StrPath,
        *,
        boxes: bool = False,
        scores: bool = False,
        ids: bool = True,
        trails: Trails | None = None,
    ) -> None:
        """Write what `draw` draws, under a name as that of `KeypointResult.save_to_img`."""
        image = self.render(boxes=boxes, scores=scores, ids=ids, trails=trails)
        write_image(image_path(save_path, self._file_name()), image)


def _with_ids(people: PoseResponse, track_ids: Sequence[int | None]) -> list[dict[str, Any]]:
    return [
        {"track_id": track_id, **person}
        for track_id, person in zip(track_ids, people.to_paddlex(), strict=True)
    ]
