"""Timing of a request's stages."""

import time

import pytest

from tritonpose_pipeline.stages import Stages, untimed


def test_stages_are_kept_in_order_with_their_times() -> None:
    stages = Stages()
    came = time.perf_counter_ns() - 1_000_000
    stages.came("queue", came)
    with stages("decode"):
        time.sleep(0.002)
    with stages("crops"):
        pass
    assert [stage.name for stage in stages.over] == ["queue", "decode", "crops"]
    queue, decode, crops = stages.over
    assert queue.start == came
    assert queue.seconds >= 0.001
    assert decode.seconds >= 0.002
    assert queue.end <= decode.start < decode.end <= crops.start
    assert stages.failed is None


def test_a_stage_that_fails_is_told_and_timed() -> None:
    stages = Stages()
    with stages("decode"):
        pass
    with pytest.raises(KeyError), stages("detector"):
        raise KeyError
    assert stages.failed == "detector"
    assert [stage.name for stage in stages.over] == ["decode", "detector"]


def test_untimed_stages_run() -> None:
    with untimed("decode"):
        ran = True
    assert ran
