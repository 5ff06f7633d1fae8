"""People with ids over a whole video: MOTChallenge's text, COCO and PoseTrack JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from tritonpose.drawing import VISIBLE_SCORE
from tritonpose.export.coco import coco_annotations, coco_category
from tritonpose.export.images import image_name, image_size
from tritonpose_pipeline.keypoint_schema import KeypointSchema, default_schema

if TYPE_CHECKING:
    from tritonpose.tracking import TrackedResult

# PoseTrack 2018's keypoints, and by which names other models have them.
_POSETRACK = (
    *("nose", "head_bottom", "head_top", "left_ear", "right_ear", "left_shoulder"),
    *("right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip"),
    *("right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
)
_OTHER_NAMES = {"head_bottom": ("upper_neck", "neck"), "head_top": ("head",)}
_POSETRACK_LIMBS = (
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7)),
    *((6, 8), (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)


def mot_text(result: TrackedResult) -> str:
    """Write the people of a frame as MOTChallenge's 2D trackers do, for a file of all frames.

    Args:
        result: One frame; its number is its ``frame_index``.

    Returns:
        A line per person: ``frame,id,left,top,width,height,score,-1,-1,-1``. Frames and ids count
        from 1, pixels from 0 as in ``boxes`` (so do most trackers); numbers are the shortest
        that give the same float32. People without an id are left out.

    Raises:
        TritonPoseError: The result has an `error`: without lines it would say that nobody is there.
    """
    if result.error is not None:
        raise result.error
    people = result.arrays
    frame = _number(result) + 1
    corners = people.boxes[:, :2]
    sizes = people.boxes[:, 2:] - corners
    return "".join(
        ",".join([str(frame), str(track_id), *map(str, (*corner, *size, score))]) + ",-1,-1,-1\n"
        for track_id, corner, size, score in zip(
            result.track_ids, corners, sizes, people.det_scores, strict=True
        )
        if track_id is not None
    )


def coco_tracks(results: Iterable[TrackedResult]) -> dict[str, Any]:
    """Make a COCO data set of a video's frames, whose annotations have a ``track_id``.

    Args:
        results: The frames of one source, in order. Those with an `error` are left out.

    Returns:
        A dict of plain numbers: ``images``, with ``frame_index`` and ``timestamp`` (seconds);
        ``annotations``, those of `coco_results` with the further fields of COCO's, of the people
        who have an id; ``categories``.
    """
    return _data_set(COCO_TRACKS, results)


def posetrack_json(results: Iterable[TrackedResult]) -> dict[str, Any]:
    """Make what PoseTrack 2018's tools read: COCO's format with ``track_id`` and ``scores``.

    Args:
        results: See `coco_tracks`.

    Returns:
        As `coco_tracks`, with PoseTrack's 17 keypoints in its order. The model's go to those of
        the same name; ``head_bottom`` and ``head_top`` may be called ``neck`` and ``head``. What
        the model lacks is 0, 0, 0, as PoseTrack says "not labeled": of COCO's keypoints, eyes are
        left out and the two of the head are missing.
    """
    return _data_set(POSETRACK, results)


@dataclass(frozen=True)
class TrackFormat:
    """A format of images, annotations and categories, whose entries are made frame by frame.

    ``image`` makes the entry of a frame with an id; ``people`` the annotations in it, without their
    ids; ``category`` the only category.
    """

    image: Callable[[TrackedResult, int], dict[str, Any]]
    people: Callable[[TrackedResult, int], list[dict[str, Any]]]
    category: Callable[[KeypointSchema], dict[str, Any]]


def _data_set(kind: TrackFormat, results: Iterable[TrackedResult]) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    people: list[dict[str, Any]] = []
    schema = None
    ids = count(1)
    for result in results:
        if result.error is None:
            schema = result.keypoint_schema
            images.append(kind.image(result, len(images) + 1))
            people += ({"id": next(ids), **person} for person in kind.people(result, len(images)))
    categories = [kind.category(schema or default_schema(17))]
    return {"images": images, "annotations": people, "categories": categories}


def _coco_image(result: TrackedResult, image_id: int) -> dict[str, Any]:
    width, height = image_size(result)
    return {
        "id": image_id,
        "file_name": _file_name(result),
        "width": width,
        "height": height,
        "frame_index": _number(result),
        "timestamp": result.timestamp,
    }


def _coco_people(result: TrackedResult, image_id: int) -> list[dict[str, Any]]:
    people = coco_annotations(result.arrays, image_id, 1)
    return [
        {"track_id": track_id, **person}
        for track_id, person in zip(result.track_ids, people, strict=True)
        if track_id is not None
    ]


def _posetrack_image(result: TrackedResult, image_id: int) -> dict[str, Any]:
    return {
        **_coco_image(result, image_id),
        "frame_id": image_id,
        "vid_id": "1",
        "is_labeled": True,
        "has_labeled_person": any(track_id is not None for track_id in result.track_ids),
    }


def _posetrack_people(result: TrackedResult, image_id: int) -> list[dict[str, Any]]:
    names = result.keypoint_schema.names
    places = [_place(name, names) for name in _POSETRACK]
    found = np.array([place is not None for place in places])
    points = result.arrays.keypoints[:, [place or 0 for place in places]].astype(np.float64)
    points[:, ~found] = 0
    people = _coco_people(result, image_id)
    own = [row for row, track_id in enumerate(result.track_ids) if track_id is not None]
    for person, keypoints in zip(people, points[own], strict=True):
        scores = keypoints[:, 2].tolist()
        keypoints[:, 2] = keypoints[:, 2] >= VISIBLE_SCORE
        person |= {
            "person_id": person["track_id"],
            "keypoints": keypoints.ravel().tolist(),
            "scores": scores,
            "num_keypoints": int(keypoints[:, 2].sum()),
        }
    return people


def _posetrack_category(schema: KeypointSchema) -> dict[str, Any]:
    limbs = [[first + 1, second + 1] for first, second in _POSETRACK_LIMBS]
    return {**coco_category(schema), "keypoints": list(_POSETRACK), "skeleton": limbs}


COCO_TRACKS = TrackFormat(_coco_image, _coco_people, coco_category)
POSETRACK = TrackFormat(_posetrack_image, _posetrack_people, _posetrack_category)


def _place(name: str, names: tuple[str, ...]) -> int | None:
    """Find a keypoint of PoseTrack among a model's."""
    known = (names.index(each) for each in (name, *_OTHER_NAMES.get(name, ())) if each in names)
    return next(known, None)


def _number(result: TrackedResult) -> int:
    """Return the number of a frame, which iterators of frames may lack."""
    return result.frame_index or 0


def _file_name(result: TrackedResult) -> str:
    """Name a frame as PoseTrack's are named, in a directory of the video's name."""
    directory = image_name(result).rpartition(".")[0] or image_name(result) or "frames"
    return f"{directory}/{_number(result):06d}.jpg"
