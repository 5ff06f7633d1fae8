"""Knobs and tuning files: what is taken, and which errors and warnings the rest gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from tritonpose.errors import ConfigError
from tritonpose_pipeline.limits import default_workers
from tritonpose_server.embedded.tuning import (
    ModelTuning,
    PipelineTuning,
    Tuning,
    complete_pipeline,
    describe,
    load_tuning,
    warnings_for,
)

EVERYTHING = Tuning(
    detector=ModelTuning(instances=2, streams=1, threads=3, max_batch_size=4, queue_delay_us=0),
    keypoint_model=ModelTuning(1, 4, 8, 32, 200),
    pipeline=PipelineTuning(workers=12, threads=2, max_in_flight=256, instances=2),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tuning.yaml"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Tuning()),
        ("# nothing\n", Tuning()),
        ("detector:\n", Tuning()),
        ("detector:\n  streams: auto\n", Tuning()),
        ("detector: {threads: 4, streams: AUTO}", Tuning(ModelTuning(threads=4))),
        ("pipeline:\n  workers: 7\n", Tuning(pipeline=PipelineTuning(workers=7))),
    ],
)
def test_what_is_left_out_is_not_set(file: Path, text: str, expected: Tuning) -> None:
    file.write_text(text)
    assert load_tuning(file) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("detectr: {streams: 1}", "unknown key 'detectr'; known are detector, keypoint_model, pi"),
        ("detector: {stream: 1}", "unknown key 'stream' in detector; known are instances, streams"),
        ("detector: {workers: 1}", "unknown key 'workers' in detector"),
        ("detector: {1: 1}", "unknown key '1' in detector"),
        ("detector: 3", "detector must consist of lines `key: value`, got 3"),
        ("[1, 2]", r"the file must consist of lines `key: value`, got \[1, 2\]"),
        ("detector: {streams: two}", "detector.streams must be an integer from 1 to 256.*: 'two'"),
        ("detector: {streams: 1.5}", "detector.streams must be an integer from 1 to 256.*: 1.5"),
        ("detector: {streams: true}", "detector.streams must be an integer .*: True"),
        ("detector: {streams: 0}", "detector.streams must be an integer from 1 .*: 0"),
        ("keypoint_model: {queue_delay_us: -1}", "keypoint_model.queue_delay_us must .* from 0 to"),
        ("pipeline: {workers: 2000}", "pipeline.workers must be an integer from 1 to 1024.*: 2000"),
        (
            "detector: {streams: 8, threads: 4}",
            "detector.streams is 8, but detector.threads only 4: each stream needs a thread",
        ),
        (
            "pipeline: {workers: 9, max_in_flight: 8}",
            "pipeline.workers is 9, but pipeline.max_in_flight only 8",
        ),
        (
            "pipeline: {workers: 2, instances: 3}",
            "pipeline.instances is 3, but pipeline.workers only 2: some instances would never",
        ),
        (
            "pipeline: {max_in_flight: 2, instances: 3}",
            "pipeline.instances is 3, but pipeline.max_in_flight only 2: some instances would",
        ),
        ("detector: {", "isn't valid YAML in UTF-8: .*line 1"),
        ("detector: 2026-13-45", "isn't valid YAML"),
        ("[" * 5000, "isn't valid YAML"),
    ],
)
def test_the_error_names_what_is_wrong(file: Path, text: str, words: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=f"(?s)tuning file '{file}'.*{words}"):
        load_tuning(file)


def test_a_file_that_cannot_be_read(file: Path) -> None:
    with pytest.raises(ConfigError, match=f"can't read the tuning file '{file}': No such file"):
        load_tuning(file)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="isn't valid YAML"):
        load_tuning(file)


def test_values() -> None:
    values = EVERYTHING.values()
    assert values["detector.threads"] == 3
    assert values["pipeline.max_in_flight"] == 256
    assert len(values) == 14


def test_described_in_a_line() -> None:
    assert describe(Tuning()) == "nothing is set"
    tuning = Tuning(ModelTuning(streams=1), pipeline=PipelineTuning(workers=3))
    assert describe(tuning) == "detector.streams 1, pipeline.workers 3"


def test_more_than_this_machine_has() -> None:
    assert list(warnings_for(EVERYTHING, 8)) == []
    found = list(warnings_for(EVERYTHING, 4))
    assert len(found) == 1
    assert found[0].startswith("keypoint_model.threads is 8, but only 4 of this machine's cores")


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (PipelineTuning(), PipelineTuning(default_workers(16), 16, 128, 4)),
        (PipelineTuning(workers=3), PipelineTuning(3, 16, 128, 3)),
        (PipelineTuning(workers=300), PipelineTuning(300, 16, 300, 4)),
        (PipelineTuning(max_in_flight=2), PipelineTuning(2, 16, 2, 2)),
        (PipelineTuning(threads=2), PipelineTuning(64, 2, 128, 1)),
        (PipelineTuning(instances=60), PipelineTuning(64, 16, 128, 60)),
        (PipelineTuning(5, 7, 6, 5), PipelineTuning(5, 7, 6, 5)),
    ],
)
def test_rules_make_way_for_what_is_chosen(
    chosen: PipelineTuning, expected: PipelineTuning
) -> None:
    assert complete_pipeline(chosen, 16, on_gpus=False) == expected


@pytest.mark.parametrize(
    ("cores", "instances", "beside_gpus"),
    [(1, 1, 1), (2, 1, 2), (4, 1, 4), (8, 2, 8), (16, 4, 16), (64, 16, 16), (256, 16, 16)],
)
def test_instances_follow_the_cores(cores: int, instances: int, beside_gpus: int) -> None:
    assert complete_pipeline(PipelineTuning(), cores, on_gpus=False).instances == instances
    completed = complete_pipeline(PipelineTuning(), cores, on_gpus=True)
    assert completed.instances == beside_gpus
    assert completed.workers == min(4 * cores, 128)
