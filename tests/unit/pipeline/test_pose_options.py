"""Who decides what: the request, else the pipeline, else the model."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from composing_models import DETECTOR_PARAMETERS, KEYPOINT_PARAMETERS, config_text, write_config
from tritonpose_pipeline.errors import BadRequestError, ModelError
from tritonpose_pipeline.keypoint_schema import default_schema
from tritonpose_pipeline.repository import ModelRepository
from tritonpose_pipeline.request import PipelineRequest, PoseOptions, resolve_options
from tritonpose_pipeline.settings import PipelineSettings

MODELS = {"detector": "small", "keypoint_model": "pose"}

Resolve = Callable[..., PoseOptions]


@pytest.fixture
def resolve(tmp_path: Path) -> Resolve:
    """Resolve a request against the pipeline's parameters and two models of each role."""
    large = {**DETECTOR_PARAMETERS, "threshold": "0.625"}
    udp = {**KEYPOINT_PARAMETERS, "use_udp": "true"}
    write_config(tmp_path, "small", config_text(DETECTOR_PARAMETERS))
    write_config(tmp_path, "large", config_text(large))
    write_config(tmp_path, "pose", config_text(KEYPOINT_PARAMETERS))
    write_config(tmp_path, "udp-pose", config_text(udp))

    def resolve(
        request: dict[str, object] | None = None,
        det_threshold: float | None = None,
        **pipeline: str,
    ) -> PoseOptions:
        defaults = PipelineSettings.from_parameters({**MODELS, **pipeline})
        repository = ModelRepository(tmp_path)
        return resolve_options(defaults, repository, det_threshold, request or {})

    return resolve


@pytest.mark.parametrize(
    ("parameters", "defaults"),
    [
        ({}, ("small", "pose", None, False, None)),
        ({"threshold": "", "flip": "", "use_udp": ""}, ("small", "pose", None, False, None)),
        ({"threshold": "0"}, ("small", "pose", 0.0, False, None)),
        ({"threshold": "1"}, ("small", "pose", 1.0, False, None)),
        ({"threshold": "0.25", "flip": "true"}, ("small", "pose", 0.25, True, None)),
        ({"flip": "false", "use_udp": "true"}, ("small", "pose", None, False, True)),
        ({"use_udp": "false", "workers": "3"}, ("small", "pose", None, False, False)),
        ({"detector": "a", "keypoint_model": "b"}, ("a", "b", None, False, None)),
    ],
)
def test_defaults(parameters: dict, defaults: tuple) -> None:
    settings = PipelineSettings.from_parameters({**MODELS, **parameters})
    assert settings == PipelineSettings(*defaults)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"detector": ""}, "the pipeline's configuration has no parameter `detector`"),
        ({"keypoint_model": ""}, "the pipeline's configuration has no parameter `keypoint_model`"),
        ({"threshold": "1.5"}, "the pipeline's parameter `threshold` must .* 0 to 1, got 1.5"),
        ({"threshold": "-0.1"}, "the pipeline's parameter `threshold` must .* 0 to 1, got -0.1"),
        ({"threshold": "nan"}, "the pipeline's parameter `threshold` must .* 0 to 1, got nan"),
        ({"threshold": "low"}, "the pipeline's parameter `threshold` must .*'low'"),
        ({"flip": "yes"}, "the pipeline's parameter `flip` must be true or false, got 'yes'"),
        ({"use_udp": "1"}, "the pipeline's parameter `use_udp` must be true or false, got '1'"),
    ],
)
def test_malformed_defaults_are_refused(parameters: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        PipelineSettings.from_parameters({**MODELS, **parameters})


@pytest.mark.parametrize(
    ("call", "pipeline", "detector", "threshold"),
    [
        (None, "", "small", 0.5),
        (None, "", "large", 0.625),
        (None, "0.25", "large", 0.25),
        (None, "0", "large", 0.0),
        (0.75, "0.25", "large", 0.75),
        (0.75, "", "small", 0.75),
        (0.0, "0.25", "small", 0.0),
        (0.0, "", "small", 0.0),
        (1.0, "0", "small", 1.0),
    ],
)
def test_threshold(
    resolve: Resolve, call: float | None, pipeline: str, detector: str, threshold: float
) -> None:
    options = resolve({"detector": detector}, call, threshold=pipeline)
    assert options.thresholds == (threshold,)


@pytest.mark.parametrize(
    ("key", "model", "call", "pipeline", "expected"),
    [
        ("flip", "pose", None, "", False),
        ("flip", "pose", None, "true", True),
        ("flip", "pose", None, "false", False),
        ("flip", "pose", True, "", True),
        ("flip", "pose", True, "false", True),
        ("flip", "pose", False, "true", False),
        ("use_udp", "pose", None, "", False),
        ("use_udp", "udp-pose", None, "", True),
        ("use_udp", "pose", None, "true", True),
        ("use_udp", "udp-pose", None, "false", False),
        ("use_udp", "pose", True, "false", True),
        ("use_udp", "udp-pose", False, "true", False),
        ("use_udp", "udp-pose", False, "", False),
        ("use_udp", "pose", True, "", True),
    ],
)
def test_switches(
    resolve: Resolve, key: str, model: str, call: bool | None, pipeline: str, expected: bool
) -> None:
    request = {"keypoint_model": model} | ({} if call is None else {key: call})
    assert getattr(resolve(request, **{key: pipeline}), key) is expected


@pytest.mark.parametrize(
    ("request_parameters", "names"),
    [
        ({}, ("small", "pose")),
        ({"detector": "large"}, ("large", "pose")),
        ({"keypoint_model": "udp-pose"}, ("small", "udp-pose")),
        ({"detector": "large", "keypoint_model": "udp-pose"}, ("large", "udp-pose")),
        ({"detector": "", "keypoint_model": ""}, ("small", "pose")),
        ({"triton_enable_empty_final_response": True, "header_x": "y"}, ("small", "pose")),
        ({"sequence_id": 3}, ("small", "pose")),
    ],
)
def test_models(resolve: Resolve, request_parameters: dict, names: tuple) -> None:
    options = resolve(request_parameters)
    assert (options.detector.name, options.keypoint_model.name) == names


@pytest.mark.parametrize(
    ("request_parameters", "message"),
    [
        (
            {"detectors": "small"},
            "unknown request parameter 'detectors'; the pipeline knows detector, keypoint_model, ",
        ),
        ({"threshold": 0.5}, "unknown request parameter 'threshold'"),
        ({"detector": 3}, "request parameter `detector` must be a model name, got 3"),
        (
            {"keypoint_model": True},
            "request parameter `keypoint_model` must be a model name, got True",
        ),
        ({"flip": "true"}, "request parameter `flip` must be true or false, got 'true'"),
        ({"flip": 1}, "request parameter `flip` must be true or false, got 1"),
        ({"use_udp": 0}, "request parameter `use_udp` must be true or false, got 0"),
        (
            {"detector": "tiny"},
            "no detector model 'tiny' is installed on this server; installed: large, small",
        ),
        (
            {"keypoint_model": "../pose"},
            "no keypoint model '../pose' is installed on this server; installed: pose, udp-pose",
        ),
        ({"detector": "pose"}, "model 'pose' can't be used as detector model"),
        ({"keypoint_model": "small"}, "model 'small' can't be used as keypoint model"),
    ],
)
def test_wrong_choices_are_refused(
    resolve: Resolve, request_parameters: dict, message: str
) -> None:
    with pytest.raises(BadRequestError) as caught:
        resolve(request_parameters)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan"), float("inf"), float("-inf")])
def test_thresholds_out_of_range_are_refused(resolve: Resolve, value: float) -> None:
    with pytest.raises(BadRequestError) as caught:
        resolve(det_threshold=value)
    assert str(caught.value) == f"`det_threshold` must be a number from 0 to 1, got {value}"


def test_thresholds_and_classes_of_a_detector(tmp_path: Path, resolve: Resolve) -> None:
    labels = r"[\"worker\", \"dog\", \"visitor\"]"
    facts = {**DETECTOR_PARAMETERS, "labels": labels, "classes": "0,2", "threshold": "0.375"}
    write_config(tmp_path, "site", config_text(facts))
    by_class = {"det_threshold": '{"visitor": 0.25}'}
    site = {"detector": "site"}
    for request, call, pipeline, expected in (
        ({}, None, site, (0.375, 0.375)),
        ({}, 0.75, site, (0.75, 0.75)),
        (by_class, None, site, (0.5, 0.25)),
        ({"det_threshold": "0.125"}, None, site, (0.125, 0.125)),
        ({}, None, {**site, "threshold": '{"0": 0.75}'}, (0.75, 0.5)),
        ({}, None, {**site, "classes": "2"}, (math.inf, 0.375)),
        (by_class, None, {**site, "classes": "0"}, (0.5, math.inf)),
        # The pipeline's classes and thresholds by class are those of its own detector.
        (site, None, {"threshold": '{"0": 0.75}', "classes": "0"}, (0.375, 0.375)),
        (site, None, {"threshold": "0.75", "classes": "0"}, (0.75, 0.75)),
    ):
        asked = PipelineRequest(None, None, None, request).threshold if call is None else call
        assert resolve(request, asked, **pipeline).thresholds == expected
    for text, words in (
        ('{"cat": 0.5}', "has the class 'cat', which the detector doesn't have; it has 0 (worker)"),
        ('{"worker": 1.5}', "`det_threshold`['worker'] must be a number from 0 to 1, got 1.5"),
        ("[]", "`det_threshold` must be a number from 0 to 1, or a mapping of classes"),
        ("high", "`det_threshold` must be a number from 0 to 1, or a mapping of classes"),
    ):
        wrong = PipelineRequest(None, None, None, {"det_threshold": text})
        with pytest.raises(BadRequestError) as caught:
            resolve({}, wrong.threshold, **site)
        assert words in str(caught.value)
    both = PipelineRequest(None, None, np.array([0.5], np.float32), by_class)
    with pytest.raises(BadRequestError, match="not both"):
        _ = both.threshold


def test_whose_keypoints(resolve: Resolve) -> None:
    """The pipeline's are those of its own model."""
    names = json.dumps({"names": [f"k{index}" for index in range(17)]})
    for model, first in (("pose", "k0"), ("udp-pose", "nose")):
        options = resolve({"keypoint_model": model}, keypoint_schema=names)
        assert options.schema.names[0] == first
    with pytest.raises(BadRequestError, match=r"`flip` needs to know .*'pose'.* `flip_pairs`"):
        resolve({"flip": True}, keypoint_schema=names)
    with pytest.raises(BadRequestError, match="`Keypoints` are 1, but the model 'pose' has 17"):
        resolve({}, keypoint_schema='{"names": ["a"]}')
    for key, text, words in (
        ("keypoint_schema", "{}", "the pipeline's parameter keypoint_schema has neither"),
        ("classes", "worker", "the pipeline's parameter `classes` must be ids"),
    ):
        with pytest.raises(ModelError, match=words):
            resolve({}, **{key: text})


def test_settings_travel_as_parameters() -> None:
    schema = default_schema(17)
    settings = PipelineSettings("d", "k", {"工人": 0.25}, classes=(0, 2), keypoint_schema=schema)
    told = {key: text for key, text in settings.to_parameters().items() if text is not None}
    assert PipelineSettings.from_parameters(told) == settings
