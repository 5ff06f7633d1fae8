"""Timing of a request's stages."""

import time

import pytest

from tritonpose_pipeline.telemetry.spans import Stages, untimed


def test_stages_are_kept_in_order_with_their_times() -> None:
    stages = Stages()
    came = time.perf_counter_ns() - 1_000_000
    stages.record("queue", came)
    with stages("decode"):
        time.sleep(0.002)
    with stages("crops"):
        pass
    assert [stage.name for stage in stages.finished] == ["queue", "decode", "crops"]
    queue, decode, crops = stages.finished
    assert queue.start == came
    assert queue.seconds >= 0.001
    assert decode.seconds >= 0.002
    assert queue.end <= decode.start < decode.end <= crops.start
    assert stages.failed_stage is None


def test_a_stage_that_fails_is_told_and_timed() -> None:
    stages = Stages()
    with stages("decode"):
        pass
    with pytest.raises(KeyError), stages("detector"):
        raise KeyError
    assert stages.failed_stage == "detector"
    assert [stage.name for stage in stages.finished] == ["decode", "detector"]


def test_untimed_stages_run() -> None:
    with untimed("decode"):
        ran = True
    assert ran
