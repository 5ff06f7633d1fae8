"""What people write about their keypoints, and the data sets that are known."""

from __future__ import annotations

import json
from typing import Any

import pytest

from composing_models import keypoint_network
from tritonpose_pipeline.errors import ModelError
from tritonpose_pipeline.keypoint_presets import PRESETS
from tritonpose_pipeline.keypoint_schema import (
    COLORS,
    KeypointSchema,
    KeypointSchemaError,
    default_schema,
)

SIDES = {"left": "right", "right": "left"}


def read(content: object) -> KeypointSchema:
    return KeypointSchema.from_mapping(content, "Keypoints")


def mirrored_name(name: str) -> str:
    side, _, part = name.partition("_")
    return f"{SIDES[side]}_{part}" if side in SIDES else name


@pytest.mark.parametrize(
    ("preset", "joints", "limbs", "pairs", "sigmas"),
    [
        # The sums of the sigmas as the data sets publish them.
        ("coco17", 17, 17, 8, 1.138),
        ("halpe26", 26, 27, 11, 1.73),
        ("mpii16", 16, 15, 6, 1.288),
        ("hand21", 21, 20, 0, 0.553),
        ("coco133", 133, 63, 61, 3.861),
    ],
)
def test_presets(preset: str, joints: int, limbs: int, pairs: int, sigmas: float) -> None:
    schema = read({"preset": preset})
    assert len(schema.names) == len(set(schema.names)) == joints
    assert len(set(schema.skeleton)) == limbs
    assert schema.flip_pairs is not None
    assert schema.sigmas is not None
    assert len(schema.flip_pairs) == pairs
    assert len(schema.sigmas) == joints
    assert sum(schema.sigmas) == pytest.approx(sigmas, abs=1e-9)
    for a, b in schema.flip_pairs:
        # Points of the face have only numbers.
        if not schema.names[a].startswith("face"):
            assert schema.names[b] == mirrored_name(schema.names[a])
        assert schema.sigmas[a] == pytest.approx(schema.sigmas[b], abs=0.03)
    assert KeypointSchema.from_json(schema.to_json(), "") == schema


def test_every_side_has_its_pair() -> None:
    for preset in PRESETS:
        schema = read({"preset": preset})
        order = schema.mirrored
        assert order is not None
        assert [order[index] for index in order] == list(range(len(order)))
        for index, name in enumerate(schema.names):
            if not name.startswith("face"):
                assert schema.names[order[index]] == mirrored_name(name)


def test_the_points_of_a_face() -> None:
    """Of 68: outline, chin, brows, nose, eyes and lips."""
    schema = read({"preset": "coco133"})
    order = schema.mirrored
    assert order is not None
    for left, right in (
        (0, 16),
        (8, 8),
        (17, 26),
        (30, 30),
        (36, 45),
        (41, 46),
        (48, 54),
        (66, 66),
    ):
        assert order[23 + left] == 23 + right


def test_pairs_by_name_and_by_index() -> None:
    schema = read(
        {
            "names": ["鼻", "left", "right"],
            "skeleton": [["鼻", 1], [0, "right"]],
            "colors": ["#ff8000", [0, 1, 2]],
            "flip_pairs": [["left", 2]],
            "sigmas": [0.1, 1, 2.5],
        }
    )
    expected = ((0, 1), (0, 2)), ((255, 128, 0), (0, 1, 2)), ((1, 2),), (0.1, 1.0, 2.5)
    assert schema == KeypointSchema(("鼻", "left", "right"), *expected)
    assert schema.mirrored == (0, 2, 1)
    assert [schema.color(index) for index in range(3)] == [(255, 128, 0), (0, 1, 2), (255, 128, 0)]
    assert KeypointSchema.from_json(schema.to_json(), "") == schema


def test_names_alone() -> None:
    schema = read({"names": ["a"], "skeleton": None})
    assert schema == KeypointSchema(("a",), (), COLORS, None, None)
    assert schema.mirrored is None
    # Nothing changes places: that is known, too.
    assert read({"names": ["a"], "flip_pairs": []}).mirrored == (0,)


def test_a_preset_with_changes() -> None:
    names = [f"点{index}" for index in range(17)]
    changed = read({"preset": "coco17", "names": names, "colors": ["#000000"], "skeleton": []})
    coco = default_schema(17)
    assert changed == KeypointSchema(tuple(names), (), ((0, 0, 0),), coco.flip_pairs, coco.sigmas)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "Keypoints = []: expected a mapping"),
        ("coco17", "Keypoints = 'coco17': expected a mapping"),
        ({}, "neither `names`, one per keypoint, nor `preset`, one of coco17, halpe26"),
        ({"skeleton": [[0, 1]]}, "neither `names`"),
        ({"names": ["a"], "flippairs": []}, "unknown key 'flippairs'; known are preset, names"),
        ({"preset": "coco18"}, "Keypoints.preset = 'coco18': expected one of coco17"),
        ({"preset": ["coco17"]}, "Keypoints.preset = ['coco17']"),
        ({"preset": "coco17", "names": ["a"]}, "1 names, but the preset 'coco17' has 17 keypoints"),
        ({"names": "abc"}, "Keypoints.names = 'abc': expected a list of names"),
        ({"names": []}, "Keypoints.names = []"),
        ({"names": ["a", 1]}, "Keypoints.names[1] = 1: expected a name"),
        ({"names": ["a", " "]}, "Keypoints.names[1] = ' '"),
        ({"names": ["a", "b", "a"]}, "Keypoints.names has 'a' twice"),
        ({"names": ["a", "b"], "skeleton": {"a": "b"}}, "Keypoints.skeleton = {'a': 'b'}"),
        ({"names": ["a", "b"], "skeleton": ["ab"]}, "Keypoints.skeleton[0] = 'ab'"),
        (
            {"names": ["a", "b"], "skeleton": [["a", "c"]]},
            "skeleton[0] = 'c': expected a name",
        ),
        ({"names": ["a", "b"], "skeleton": [[0, 2]]}, "or an index up to 1"),
        ({"names": ["a", "b"], "skeleton": [[-1, 0]]}, "skeleton[0] = -1"),
        ({"names": ["a", "b"], "skeleton": [[True, 0]]}, "skeleton[0] = True"),
        ({"names": ["a", "b"], "skeleton": [["a", 0]]}, "expected two different keypoints"),
        ({"names": ["a", "b"], "skeleton": [[0, 1, 0]]}, "skeleton[0] = [0, 1, 0]"),
        ({"names": list("abc"), "flip_pairs": [[0, 1], [1, 2]]}, "has 'b' in more than one pair"),
        ({"names": ["a"], "colors": []}, "Keypoints.colors = []"),
        ({"names": ["a"], "colors": ["red"]}, "colors[0] = 'red': expected '#rrggbb'"),
        ({"names": ["a"], "colors": [[0, 0, 256]]}, "colors[0] = [0, 0, 256]"),
        ({"names": ["a"], "colors": [[0.5, 0, 0]]}, "colors[0] = [0.5, 0, 0]"),
        ({"names": ["a"], "sigmas": [0.1, 0.2]}, "expected a list of 1 positive numbers"),
        ({"names": ["a"], "sigmas": [0]}, "sigmas[0] = 0: expected a positive number"),
        ({"names": ["a"], "sigmas": [float("nan")]}, "sigmas[0] = nan"),
        ({"names": ["a"], "sigmas": 0.1}, "Keypoints.sigmas = 0.1"),
    ],
)
def test_mistakes_are_named(content: Any, words: str) -> None:
    with pytest.raises(KeypointSchemaError) as caught:
        read(content)
    assert words in str(caught.value)


def test_what_is_assumed_of_models_that_say_nothing() -> None:
    assert keypoint_network().schema == default_schema(17) == read({"preset": "coco17"})
    other = keypoint_network(joints=5).schema
    assert other == KeypointSchema(tuple(f"keypoint_{index}" for index in range(5)))


def test_parameters_of_a_model() -> None:
    text = json.dumps({"names": ["a", "b"], "flip_pairs": [[0, 1]]})
    assert keypoint_network(joints=2, keypoint_schema=text).schema.mirrored == (1, 0)
    assert keypoint_network(joints=-1, keypoint_schema=text).schema.names == ("a", "b")
    for joints, parameter, words in (
        (3, text, "names 2 keypoints, but the output `heatmap` has 3"),
        (2, "{", "is not JSON"),
        (2, "[]", "expected a mapping"),
    ):
        with pytest.raises(ModelError, match=f"^model 'keypoint': .*{words}"):
            keypoint_network(joints=joints, keypoint_schema=parameter)
