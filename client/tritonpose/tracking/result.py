"""The result of one frame: who is in it, and where."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tritonpose.result import KeypointResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tritonpose.transport.messages import PoseResponse


class TrackedResult(KeypointResult):
    """The people in one frame of a source, each with a number that stays.

    A `KeypointResult` with further keys:

    - in each of ``boxes``: ``track_id``, the person's number in this source, from 1; None for
      somebody seen for the first time, who may be none.
    - ``frame_index``: the number of the frame in its source, from 0; dropped ones count.
    - ``timestamp``: seconds since the source's first frame; those of the video or the stream.
    - ``source``: the source's name, without credentials.

    Args:
        result: What the pipeline found in the frame.
        people: The people to show.
        track_ids: Their numbers.
        timestamp: See above.
        source: See above.
    """

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
            self["boxes"] = partial(_with_ids, people, tuple(track_ids))
        self["timestamp"] = timestamp
        self["source"] = source

    @property
    def track_ids(self) -> tuple[int | None, ...]:
        """The people's numbers, in the order of ``boxes`` and `arrays`."""
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


def _with_ids(people: PoseResponse, track_ids: Sequence[int | None]) -> list[dict[str, Any]]:
    return [
        {"track_id": track_id, **person}
        for track_id, person in zip(track_ids, people.to_paddlex(), strict=True)
    ]
