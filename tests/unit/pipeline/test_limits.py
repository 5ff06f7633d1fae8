"""Bounds on the requests under way, read from the pipeline's configuration."""

from dataclasses import fields
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from tritonpose_pipeline import limits
from tritonpose_pipeline.errors import ModelError
from tritonpose_pipeline.limits import Limits


@pytest.mark.parametrize(
    ("parameters", "workers", "threads", "max_in_flight"),
    [
        ({}, 12, 3, 128),
        ({"workers": "AUTO", "max_in_flight": "auto"}, 12, 3, 128),
        ({"workers": "1", "threads": "2"}, 1, 2, 128),
        ({"workers": "200", "max_in_flight": "1"}, 200, 3, 1),
        ({"max_in_flight": "70"}, 12, 3, 70),
        ({"detector": "x"}, 12, 3, 128),
    ],
)
def test_limits(
    monkeypatch: pytest.MonkeyPatch,
    parameters: dict,
    workers: int,
    threads: int,
    max_in_flight: int,
) -> None:
    monkeypatch.setattr(limits, "available_cores", lambda: 3)
    assert Limits.from_parameters(parameters) == Limits(workers, threads, max_in_flight)
    for cores, automatic in ((1, 4), (16, 64), (17, 64), (192, 64)):
        monkeypatch.setattr(limits, "available_cores", lambda count=cores: count)
        assert Limits.from_parameters({}).workers == automatic


def test_instances_share_what_is_done_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "available_cores", lambda: 64)
    for instances, most, workers in (
        (1, "999", 64),
        (2, "999", 128),
        (8, "999", 256),
        (8, "100", 100),
    ):
        assert Limits.from_parameters({"max_in_flight": most}, instances).workers == workers
    every = Limits(10, 4, 128)
    assert every.share(3) == Limits(3, 1, 128)
    assert every.share(100) == Limits(1, 1, 128)


def test_every_limit_can_be_set() -> None:
    names = [field.name for field in fields(Limits)]
    given = {name: str(1000 + number) for number, name in enumerate(names)}
    assert Limits.from_parameters(given) == Limits(*range(1000, 1000 + len(names)))


def test_the_pipelines_configuration_states_the_defaults() -> None:
    path = Path(__file__).parents[3] / "model_repository/human_keypoint_detection/config.pbtxt"
    config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    stated = {key: value.string_value for key, value in config.parameters.items()}
    assert {field.name for field in fields(Limits)} <= set(stated)
    assert Limits.from_parameters(stated) == Limits.from_parameters({})


@pytest.mark.parametrize("key", ["workers", "max_in_flight", "max_pixels", "deadline_s"])
@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "+3", " 4", "four", "1e3", "\u00b2"])
def test_anything_else_is_refused(key: str, text: str) -> None:
    with pytest.raises(ModelError) as caught:
        Limits.from_parameters({key: text})
    assert str(caught.value) == (
        f"the pipeline's parameter `{key}` must be a positive integer or AUTO, got {text!r}"
    )
