"""What the pipeline reads from a model's configuration."""

import cv2
import pytest

from composing_models import (
    DETECTOR_PARAMETERS,
    KEYPOINT_PARAMETERS,
    parse_detector,
    parse_keypoint,
)
from tritonpose_pipeline.errors import ModelError
from tritonpose_pipeline.keypoint_schema import default_schema
from tritonpose_pipeline.repository import DetectorModel, KeypointModel, NmsSettings

DIMS = (320, 256, 3)
INTERPOLATIONS = "nearest, linear, cubic, area, lanczos4"


def test_a_detector() -> None:
    assert parse_detector("person", DIMS, DETECTOR_PARAMETERS) == DetectorModel(
        name="person",
        height=320,
        width=256,
        interpolation=cv2.INTER_CUBIC,
        keep_ratio=False,
        pad_value=(10, 20, 30),
        nms=NmsSettings(score_threshold=0.025, iou_threshold=0.6, top_k=1000, keep_top_k=100),
        threshold=0.5,
    )


def test_a_keypoint_model() -> None:
    assert parse_keypoint("pose", (128, 96, 3), 16, KEYPOINT_PARAMETERS) == KeypointModel(
        name="pose",
        height=128,
        width=96,
        max_batch_size=16,
        flip_shift=False,
        use_udp=False,
        schema=default_schema(17),
    )


@pytest.mark.parametrize(
    ("key", "text", "attribute", "value"),
    [
        ("interpolation", "nearest", "interpolation", cv2.INTER_NEAREST),
        ("interpolation", "linear", "interpolation", cv2.INTER_LINEAR),
        ("interpolation", "area", "interpolation", cv2.INTER_AREA),
        ("interpolation", "lanczos4", "interpolation", cv2.INTER_LANCZOS4),
        ("keep_ratio", "true", "keep_ratio", True),
        ("pad_value", "0, 128, 255", "pad_value", (0, 128, 255)),
        ("threshold", "0", "threshold", 0.0),
        ("threshold", "2.5e-1", "threshold", 0.25),
        ("nms_top_k", "-1", "nms", NmsSettings(0.025, 0.6, -1, 100)),
        ("nms_keep_top_k", "7", "nms", NmsSettings(0.025, 0.6, 1000, 7)),
        ("nms_score_threshold", "0.01", "nms", NmsSettings(0.01, 0.6, 1000, 100)),
        ("nms_iou_threshold", "0.7", "nms", NmsSettings(0.025, 0.7, 1000, 100)),
        ("something_else", "x", "threshold", 0.5),
    ],
)
def test_facts_of_detectors(key: str, text: str, attribute: str, value: object) -> None:
    model = parse_detector("person", DIMS, {**DETECTOR_PARAMETERS, key: text})
    assert getattr(model, attribute) == value


@pytest.mark.parametrize("key", ["flip_shift", "use_udp"])
def test_facts_of_keypoint_models(key: str) -> None:
    other = {"flip_shift": "use_udp", "use_udp": "flip_shift"}[key]
    model = parse_keypoint("pose", DIMS, 1, {**KEYPOINT_PARAMETERS, key: "true"})
    assert (getattr(model, key), getattr(model, other)) == (True, False)


@pytest.mark.parametrize(("configured", "used"), [(0, 1), (1, 1), (64, 64)])
def test_models_without_batching_take_one_crop(configured: int, used: int) -> None:
    assert parse_keypoint("pose", DIMS, configured, KEYPOINT_PARAMETERS).max_batch_size == used


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        *(("interpolation", text, f"one of {INTERPOLATIONS}") for text in ("2", "CUBIC")),
        *(("keep_ratio", text, "one of false, true") for text in ("True", "")),
        *(
            ("pad_value", text, "three integers R,G,B from 0 to 255")
            for text in ("1,2", "1,2,3,4", "0.5,0.5,0.5", "gray", "300,-1,0")
        ),
        *(("threshold", text, "a number from 0 to 1") for text in ("50%", "nan", "7")),
        ("nms_score_threshold", "low", "a number from 0 to 1"),
        ("nms_iou_threshold", "", "a number from 0 to 1"),
        *(
            (key, text, "a positive integer, or -1 for no limit")
            for key in ("nms_top_k", "nms_keep_top_k")
            for text in ("all", "10.7", "nan", "0", "1,000")
        ),
    ],
)
def test_a_detectors_malformed_facts_are_named(key: str, text: str, expected: str) -> None:
    with pytest.raises(ModelError) as caught:
        parse_detector("person", DIMS, {**DETECTOR_PARAMETERS, key: text})
    assert str(caught.value) == f"model 'person': parameter `{key}` is {text!r}, not {expected}"


def parse(facts: dict, dims: tuple = DIMS) -> object:
    """A model in the role that its facts have by default."""
    if "interpolation" in facts or "keep_ratio" in facts:
        return parse_detector("person", dims, facts)
    return parse_keypoint("person", dims, 1, facts)


@pytest.mark.parametrize(
    ("parameters", "key"),
    [(facts, key) for facts in (DETECTOR_PARAMETERS, KEYPOINT_PARAMETERS) for key in facts],
)
def test_missing_facts_are_named(parameters: dict, key: str) -> None:
    message = f"model 'person': its configuration has no parameter `{key}`; convert the model again"
    if key == "role":
        message = "model 'person' can't be used as .* model: .* None"
    with pytest.raises(ModelError, match=message):
        parse({k: v for k, v in parameters.items() if k != key})


@pytest.mark.parametrize(
    ("parameters", "role"),
    [
        *((DETECTOR_PARAMETERS, role) for role in ("keypoint", "Detector", "")),
        (KEYPOINT_PARAMETERS, "detector"),
    ],
)
def test_a_model_needs_its_role(parameters: dict, role: str) -> None:
    with pytest.raises(ModelError, match=f"'person' can't be used as .* model: .* {role!r}"):
        parse({**parameters, "role": role})


@pytest.mark.parametrize("key", ["flip_shift", "use_udp"])
@pytest.mark.parametrize("text", ["yes", "1", "TRUE", ""])
def test_a_keypoint_models_malformed_facts_are_named(key: str, text: str) -> None:
    with pytest.raises(ModelError) as caught:
        parse_keypoint("pose", DIMS, 1, {**KEYPOINT_PARAMETERS, key: text})
    assert str(caught.value) == (
        f"model 'pose': parameter `{key}` is {text!r}, not one of false, true"
    )


@pytest.mark.parametrize(
    "dims", [(), (3,), (320, 320), (3, 320, 320), (1, 320, 320, 3), (-1, 320, 3), (320, 0, 3)]
)
def test_dims_must_be_height_width_3(dims: tuple) -> None:
    words = f"must have dims [height, width, 3], got {list(dims)}"
    for facts in (DETECTOR_PARAMETERS, KEYPOINT_PARAMETERS):
        with pytest.raises(ModelError) as caught:
            parse(facts, dims)
        assert words in str(caught.value)
        assert "'person'" in str(caught.value)
