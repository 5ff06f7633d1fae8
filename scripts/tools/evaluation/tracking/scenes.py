"""The clips that tracking is measured on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from tools.evaluation.tracking.clips import Actor, Clip, Place, TruePerson, at_rest
from tools.evaluation.tracking.cutouts import Cutout, Find, Image
from tritonpose.tracking.association import box_overlaps
from tritonpose.transport.messages import PoseResponse

Floats = npt.NDArray[np.float64]

CROSSING, STILL, MOVING, JUMP, ABSENCE, CUT = (
    *("crossing", "still", "moving", "jump", "absence", "cut"),
)
"""Kinds of clips, by what is measured on them besides ids."""

# Of who plays in clips: the detector's score, and the overlap with the true box.
_SURE, _WHOLE = 0.6, 0.7

# Heights of people, in pixels, and where they stand.
_HEIGHT = 170.0
_MIDDLE, _FLOOR = 320.0, 300.0
_ASIDE = 190.0
# Who stands farther back is smaller by this, and higher up.
_FARTHER = 0.93
_HIGHER = 8.0

# In heights per second, with the frames per second to see each with.
_SPEEDS = {"stroll": (0.4, (10, 15)), "walk": (0.8, (10, 15, 30)), "run": (2.0, (10, 15, 30, 60))}
_WAIT = 0.4

# A tracker keeps who is gone for a second: who is away for longer is somebody new.
SHORT_ABSENCE, LONG_ABSENCE = 0.2, 2.0

# Times, places and heights to move between; nobody is there before, between None, and after.
Walk = Sequence[tuple[float, float, float] | None]


@dataclass(frozen=True, eq=False)
class Cast:
    """People and backgrounds; each clip takes others of them."""

    people: Sequence[Cutout]
    backgrounds: Sequence[Image]

    def clip(
        self,
        name: str,
        kind: str,
        rate: float,
        paths: Sequence[Walk],
        camera: Callable[[float], Floats] = at_rest,
        cut: float = float("inf"),
        take: int = 0,
    ) -> Clip:
        """Make a clip of one person per path, the last in front; ``take`` chooses who."""
        actors = [
            Actor(
                self.people[(take + number) % len(self.people)],
                partial(_walk, path, (len(paths) - 1 - number) % 3),
            )
            for number, path in enumerate(paths)
        ]
        grounds: tuple[Image, ...] = (self.backgrounds[take % len(self.backgrounds)],)
        if cut < float("inf"):
            grounds = (*grounds, self.backgrounds[(take + 1) % len(self.backgrounds)])
        end = max(stop[0] for path in paths for stop in path if stop is not None)
        return Clip(name, kind, rate, end, grounds, actors, camera, cut=cut)


def make_cast(people: Sequence[Cutout], backgrounds: Sequence[Image], find: Find) -> Cast:
    """Choose the people whom the detector finds surely as they appear in clips.

    It is trackers that are measured, and none can follow who isn't found. All where there are none.
    """
    cast = Cast(people, backgrounds)
    sure = []
    for number, person in enumerate(people):
        path = [(0.0, _MIDDLE - _ASIDE, _HEIGHT), (2.0, _MIDDLE + _ASIDE, _HEIGHT)]
        clip = cast.clip("audition", MOVING, 4.0, [path], take=number)
        if all(_is_found(truth, find(image, _SURE)) for image, (truth,) in clip.frames()):
            sure.append(person)
    return Cast(sure if len(sure) > 1 else people, backgrounds)


def _is_found(person: TruePerson, found: PoseResponse) -> bool:
    overlaps = box_overlaps(person.box[None], found.boxes.astype(np.float64))
    return bool(overlaps.max(initial=0.0) >= _WHOLE)


def all_clips(cast: Cast) -> list[Clip]:
    """List all clips: crossings, people at rest, cameras that move, jumps, absences, cuts."""
    clips: list[Clip] = []
    for make in (_crossings, _meetings, _threes, _stills, _moving, _jumps, _absences, _cuts):
        # Each kind begins with another one of the people.
        clips += make(cast, len(clips))
    return clips


def few_clips(cast: Cast) -> list[Clip]:
    """List short clips that have something of each measure."""
    few = {"cross-run@10", "still@10", "walk@10", "jump@10"}
    return [
        replace(clip, seconds=min(clip.seconds, 2.5))
        for clip in all_clips(cast)
        if clip.name in few
    ]


def timed_clips(cast: Cast, *, quick: bool) -> list[Clip]:
    """List the clips that intervals of the detector are compared on: three people each."""
    timed = (
        {"still@10"} if quick else {"still@30", "pan@30", "zoom@30", "turn@30", "cross3-walk@30"}
    )
    return [clip for clip in all_clips(cast) if clip.name in timed]


def _walk(path: Walk, back: int, time: float) -> Place | None:
    """Return where somebody is on a path, rows behind the one in front."""
    for start, end in itertools.pairwise(path):
        if start is not None and end is not None and start[0] <= time < end[0]:
            share = (time - start[0]) / (end[0] - start[0])
            x, height = (start[axis] + share * (end[axis] - start[axis]) for axis in (1, 2))
            return Place(x, _FLOOR - _HIGHER * back, height * _FARTHER**back)
    return None


def _through(start: float, end: float, speed: float) -> Walk:
    """Wait, walk from one place to another, and wait."""
    duration = abs(end - start) / (speed * _HEIGHT)
    return [
        (0.0, start, _HEIGHT),
        (_WAIT, start, _HEIGHT),
        (_WAIT + duration, end, _HEIGHT),
        (2 * _WAIT + duration, end, _HEIGHT),
    ]


def _standing(x: float, seconds: float) -> Walk:
    return [(0.0, x, _HEIGHT), (seconds, x, _HEIGHT)]


def _crossings(cast: Cast, take: int) -> list[Clip]:
    """Two people walk past each other, or one past another who stands."""
    left, right = _MIDDLE - _ASIDE, _MIDDLE + _ASIDE
    clips: list[Clip] = []
    for pace, (speed, rates) in _SPEEDS.items():
        for rate in rates:
            paths = [_through(left, right, speed), _through(right, left, speed)]
            clips.append(
                cast.clip(f"cross-{pace}@{rate}", CROSSING, rate, paths, take=take + 2 * len(clips))
            )
    for rate in (10, 30):
        paths = [_standing(_MIDDLE, 4.0), _through(left, right, 0.8)]
        clips.append(cast.clip(f"pass@{rate}", CROSSING, rate, paths, take=take + len(clips)))
        # Behind somebody's back.
        clips.append(cast.clip(f"behind@{rate}", CROSSING, rate, paths[::-1], take=take))
    return clips


def _meetings(cast: Cast, take: int) -> list[Clip]:
    """Two people meet, stay one before the other for a while, and go on or back."""
    left, right, near = _MIDDLE - _ASIDE, _MIDDLE + _ASIDE, 22.0
    clips: list[Clip] = []
    for rate in (10, 15, 30):
        for name, turns in (("stop", False), ("return", True)):
            duration = _ASIDE / (0.8 * _HEIGHT)
            paths = []
            for start, end in ((left, right), (right, left)):
                meet = _MIDDLE + np.sign(start - _MIDDLE) * near
                goal = start if turns else end
                there = _WAIT + duration
                paths.append(
                    [
                        (0.0, start, _HEIGHT),
                        (_WAIT, start, _HEIGHT),
                        (there, meet, _HEIGHT),
                        (there + 0.6, meet, _HEIGHT),
                        (there + 0.6 + duration, goal, _HEIGHT),
                        (there + 1.0 + duration, goal, _HEIGHT),
                    ]
                )
            clips.append(
                cast.clip(f"{name}@{rate}", CROSSING, rate, paths, take=take + 2 * len(clips))
            )
    return clips


def _threes(cast: Cast, take: int) -> list[Clip]:
    """Three people walk past each other, the third one behind the first."""
    left, right = _MIDDLE - _ASIDE, _MIDDLE + _ASIDE
    clips: list[Clip] = []
    for pace in ("walk", "run"):
        speed, rates = _SPEEDS[pace]
        for rate in rates[-3:]:
            paths = [
                _through(left, right, speed),
                _through(right, left, speed),
                _through(left - 90, right - 60, 0.8 * speed),
            ]
            clips.append(
                cast.clip(f"cross3-{pace}@{rate}", CROSSING, rate, paths, take=take + len(clips))
            )
    return clips


def _stills(cast: Cast, take: int) -> list[Clip]:
    """Three people stand, seen by a camera at rest."""
    paths = [_standing(x, 3.0) for x in (140.0, 320.0, 500.0)]
    return [
        cast.clip(f"still@{rate}", STILL, rate, paths, take=take + rate // 10)
        for rate in (10, 15, 30)
    ]


def _moving(cast: Cast, take: int) -> list[Clip]:
    """People walk, or stand before a camera that pans, zooms or turns."""
    clips = [
        cast.clip(
            f"walk@{rate}",
            MOVING,
            rate,
            [_through(110.0, 250.0, 0.5), _through(530.0, 390.0, 0.4)],
            take=take,
        )
        for rate in (10, 15, 30)
    ]
    paths = [_standing(x, 4.0) for x in (200.0, 320.0, 440.0)]
    for name, camera in (("pan", _pan), ("zoom", _zoom), ("turn", _turn)):
        clips += [
            cast.clip(f"{name}@{rate}", MOVING, rate, paths, camera, take=take + len(clips))
            for rate in (15, 30)
        ]
    return clips


def _jumps(cast: Cast, take: int) -> list[Clip]:
    """Somebody is elsewhere from one frame to the next, as after a stall of the camera."""
    clips: list[Clip] = []
    for rate in (10, 30):
        jump = [
            *((0.0, 250.0, _HEIGHT), (1.5, 250.0, _HEIGHT)),
            *((1.5, 270.0, _HEIGHT), (3.0, 270.0, _HEIGHT)),
        ]
        paths = [jump, _standing(460.0, 3.0)]
        clips.append(cast.clip(f"jump@{rate}", JUMP, rate, paths, take=take))
    return clips


def _absences(cast: Cast, take: int) -> list[Clip]:
    """Somebody leaves the picture and returns, soon or late; another one stays."""
    gone, speed = -60.0, 1.2
    out = (150.0 - gone) / (speed * _HEIGHT)
    clips: list[Clip] = []
    for rate in (15, 30):
        for name, absence in (("soon", SHORT_ABSENCE), ("late", LONG_ABSENCE)):
            back = 1.0 + out + absence
            stays: Walk = [(0.0, 430.0, _HEIGHT), (back + out + 1.0, 430.0, _HEIGHT)]
            leaves = [(0.0, 150.0, _HEIGHT), (1.0, 150.0, _HEIGHT), (1.0 + out, gone, _HEIGHT)]
            returns = [
                (back, gone, _HEIGHT),
                (back + out, 150.0, _HEIGHT),
                (back + out + 1.0, 150.0, _HEIGHT),
            ]
            clip = cast.clip(
                f"leave-{name}@{rate}", ABSENCE, rate, [stays, [*leaves, None, *returns]], take=take
            )
            if absence == LONG_ABSENCE:
                # Somebody new, who looks the same.
                away = [
                    Actor(clip.actors[1].cutout, partial(_walk, path, 0))
                    for path in (leaves, returns)
                ]
                clip = replace(clip, actors=[clip.actors[0], *away])
            clips.append(clip)
    return clips


def _cuts(cast: Cast, take: int) -> list[Clip]:
    """Two people, and from one frame to the next two others elsewhere."""
    before = [_standing(x, 1.5) for x in (200.0, 400.0)]
    after = [[(1.5, x, _HEIGHT), (3.0, x, _HEIGHT)] for x in (230.0, 440.0)]
    return [
        cast.clip(f"cut@{rate}", CUT, rate, [*before, *after], cut=1.5, take=take)
        for rate in (15, 30)
    ]


def _around_middle(linear: Floats) -> Floats:
    """Turn or stretch about the middle of the picture."""
    middle = np.array([_MIDDLE, 180.0])
    result = np.eye(3)
    result[:2, :2], result[:2, 2] = linear, middle - linear @ middle
    return result


def _pan(time: float) -> Floats:
    result = np.eye(3)
    result[0, 2] = 60.0 * np.sin(0.5 * np.pi * time)
    return result


def _zoom(time: float) -> Floats:
    return _around_middle((1.0 + 0.2 * np.sin(0.5 * np.pi * time)) * np.eye(2))


def _turn(time: float) -> Floats:
    angle = np.deg2rad(12.0) * np.sin(0.5 * np.pi * time)
    return _around_middle(
        np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    )
