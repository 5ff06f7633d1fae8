"""People of fast decoding beside those of full decoding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from poses import people
from tools.errors import ToolError
from tools.evaluation.fast_decode import DecodeEffect, find_jpegs
from tritonpose.transport.messages import PoseResponse


def moved(poses: PoseResponse, pixels: float) -> PoseResponse:
    return replace(poses, keypoints=poses.keypoints + np.float32([pixels, 0, 0]))


def test_the_same_people() -> None:
    effect = DecodeEffect.of([(people(3), people(3)), (people(0), people(0))])
    assert (effect.images, effect.unchanged, effect.persons) == (2, 2, 3)
    assert (effect.lost, effect.added) == (0, 0)
    assert (effect.oks, effect.oks_low, effect.close_share) == (1, 1, 1)


def test_people_who_moved_are_lost_or_added() -> None:
    three = people(3)
    effect = DecodeEffect.of([(three, moved(three, 1)), (three, people(0)), (people(0), three)])
    assert effect.unchanged == 0
    assert (effect.persons, effect.lost, effect.added) == (6, 3, 3)
    assert effect.oks is not None
    assert 0.5 < effect.oks < 1
    far = DecodeEffect.of([(three, moved(three, 10_000))])
    assert (far.lost, far.added, far.oks) == (3, 3, None)


def test_no_jpegs(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="there are no JPEGs"):
        find_jpegs(tmp_path)
