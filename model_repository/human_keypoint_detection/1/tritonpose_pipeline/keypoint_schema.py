"""What a keypoint model's points are: names, limbs, colors, mirrored pairs and OKS sigmas.

One schema, wherever it is written: the section `Keypoints` of a pipeline file, a file beside a
model, `parameters` of a `config.pbtxt`, and the pipeline's output `keypoint_schema`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from tritonpose_pipeline.keypoint_presets import PRESETS

Color = tuple[int, int, int]
Pair = tuple[int, int]

COLORS: tuple[Color, ...] = tuple(
    (blue, green, red)
    for red, green, blue in (
        *((255, green, 0) for green in (0, 85, 170, 255)),
        *((red, 255, 0) for red in (170, 85, 0)),
        *((0, 255, blue) for blue in (85, 170, 255)),
        *((0, green, 255) for green in (170, 85, 0)),
        *((red, 0, 255) for red in (85, 170, 255)),
        *((255, 0, blue) for blue in (170, 85)),
    )
)
"""R, G, B round the hue circle, as PaddleX's pictures show them.

PaddleX hands red to OpenCV first, where blue is expected, and so begins with blue.
"""

_KEYS = ("preset", "names", "skeleton", "colors", "flip_pairs", "sigmas")
_HEX_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


class KeypointSchemaError(ValueError):
    """A description of keypoints is wrong; the message names the key."""


@dataclass(frozen=True)
class KeypointSchema:
    """The points of a keypoint model, in the order of its heatmaps.

    Attributes:
        names: One per keypoint, each once; left and right are the person's own.
        skeleton: Limbs as pairs of indices, in drawing order.
        colors: R, G, B, 0..255. Keypoint i has color i, and so has limb i; where there are fewer
            colors, they begin again.
        flip_pairs: Pairs of indices that change places in a mirrored image; None if unknown.
        sigmas: Of each keypoint, the deviation that object keypoint similarity (OKS) divides by,
            COCO's sigma; None if unknown.
    """

    names: tuple[str, ...]
    skeleton: tuple[Pair, ...] = ()
    colors: tuple[Color, ...] = COLORS
    flip_pairs: tuple[Pair, ...] | None = None
    sigmas: tuple[float, ...] | None = None

    @classmethod
    def from_mapping(cls, content: object, origin: str) -> KeypointSchema:
        """Read a description that a user wrote; pairs may be of names or of indices from 0.

        Args:
            content: A mapping with `names`, or a `preset` that the other keys change: `skeleton`,
                `colors` (``"#rrggbb"`` or ``[r, g, b]``), `flip_pairs`, `sigmas`.
            origin: What to call it in messages.

        Raises:
            KeypointSchemaError: It is wrong.
        """
        if not isinstance(content, Mapping):
            raise _wrong(origin, content, f"a mapping with {', '.join(_KEYS)}")
        for key in content:
            if key not in _KEYS:
                raise KeypointSchemaError(
                    f"{origin}: unknown key {key!r}; known are {', '.join(_KEYS)}"
                )
        given = {key: value for key, value in content.items() if value is not None}
        facts: dict[str, Any] = {}
        if (preset := given.pop("preset", None)) is not None:
            if not isinstance(preset, str) or preset not in PRESETS:
                raise _wrong(f"{origin}.preset", preset, f"one of {', '.join(PRESETS)}")
            facts = dict(PRESETS[preset])
        elif "names" not in given:
            raise KeypointSchemaError(
                f"{origin} has neither `names`, one per keypoint, nor `preset`, one of "
                f"{', '.join(PRESETS)}"
            )
        if "names" in given:
            names = _names(given["names"], f"{origin}.names")
            if facts and len(names) != len(facts["names"]):
                raise KeypointSchemaError(
                    f"{origin}.names has {len(names)} names, but the preset {preset!r} has "
                    f"{len(facts['names'])} keypoints"
                )
            facts["names"] = names
        for key in ("skeleton", "flip_pairs"):
            if key in given:
                facts[key] = _pairs(given[key], facts["names"], f"{origin}.{key}")
        if "colors" in given:
            facts["colors"] = _colors(given["colors"], f"{origin}.colors")
        if "sigmas" in given:
            facts["sigmas"] = _sigmas(given["sigmas"], len(facts["names"]), f"{origin}.sigmas")
        schema = cls(**facts)
        flipped = [joint for pair in schema.flip_pairs or () for joint in pair]
        if len(set(flipped)) < len(flipped):
            twice = next(joint for joint in flipped if flipped.count(joint) > 1)
            raise KeypointSchemaError(
                f"{origin}.flip_pairs has {schema.names[twice]!r} in more than one pair"
            )
        return schema

    @classmethod
    def from_json(cls, text: str, origin: str) -> KeypointSchema:
        """Read what `to_json` wrote; raise KeypointSchemaError."""
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise KeypointSchemaError(f"{origin} is not JSON: {error}") from None
        return cls.from_mapping(content, origin)

    def to_mapping(self) -> dict[str, Any]:
        """Write the schema in types that JSON knows, pairs as indices; unknown facts left out."""
        content: dict[str, Any] = {
            "names": list(self.names),
            "skeleton": [list(pair) for pair in self.skeleton],
            "colors": ["#{:02x}{:02x}{:02x}".format(*color) for color in self.colors],
        }
        if self.flip_pairs is not None:
            content["flip_pairs"] = [list(pair) for pair in self.flip_pairs]
        if self.sigmas is not None:
            content["sigmas"] = list(self.sigmas)
        return content

    def to_json(self) -> str:
        """Write the schema as one line of JSON."""
        return json.dumps(self.to_mapping(), separators=(",", ":"))

    @cached_property
    def mirrored(self) -> tuple[int, ...] | None:
        """Where each keypoint is found in the heatmaps of a mirrored image; None if unknown."""
        if self.flip_pairs is None:
            return None
        order = list(range(len(self.names)))
        for left, right in self.flip_pairs:
            order[left], order[right] = right, left
        return tuple(order)

    def color(self, index: int) -> Color:
        """Return the color, R, G, B, of the keypoint or the limb of this index."""
        return self.colors[index % len(self.colors)]


@lru_cache(maxsize=64)
def default_schema(joints: int) -> KeypointSchema:
    """Return what is known of a model that says nothing: COCO's keypoints if there are 17.

    Others have numbers as names, and no limbs.
    """
    coco = KeypointSchema(**PRESETS["coco17"])
    if joints == len(coco.names):
        return coco
    return KeypointSchema(tuple(f"keypoint_{index}" for index in range(joints)))


@lru_cache(maxsize=64)
def schema_from_json(text: str) -> KeypointSchema:
    """Read a schema that comes with each answer; KeypointSchemaError if it is malformed."""
    return KeypointSchema.from_json(text, "keypoint_schema")


def _names(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise _wrong(where, value, "a list of names, one per keypoint")
    for index, name in enumerate(value):
        if not isinstance(name, str) or not name.strip():
            raise _wrong(f"{where}[{index}]", name, "a name")
        if name in value[:index]:
            raise KeypointSchemaError(f"{where} has {name!r} twice")
    return tuple(value)


def _pairs(value: object, names: Sequence[str], where: str) -> tuple[Pair, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(where, value, "a list of pairs of names or indices")
    pairs = []
    for index, pair in enumerate(value):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise _wrong(f"{where}[{index}]", pair, "a pair of names or indices")
        first, second = (_joint(joint, names, f"{where}[{index}]") for joint in pair)
        if first == second:
            raise _wrong(f"{where}[{index}]", pair, "two different keypoints")
        pairs.append((first, second))
    return tuple(pairs)


def _joint(value: object, names: Sequence[str], where: str) -> int:
    if isinstance(value, str) and value in names:
        return names.index(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names):
        return value
    raise _wrong(where, value, f"a name of {', '.join(names)}, or an index up to {len(names) - 1}")


def _colors(value: object, where: str) -> tuple[Color, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise _wrong(where, value, "a list of colors")
    return tuple(_color(color, f"{where}[{index}]") for index, color in enumerate(value))


def _color(value: object, where: str) -> Color:
    if isinstance(value, str) and _HEX_COLOR.fullmatch(value):
        return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)
    if isinstance(value, list | tuple) and len(value) == 3:
        red, green, blue = value
        if all(type(part) is int and 0 <= part <= 255 for part in value):
            return red, green, blue
    raise _wrong(where, value, "'#rrggbb', or [red, green, blue] from 0 to 255")


def _sigmas(value: object, count: int, where: str) -> tuple[float, ...]:
    if not isinstance(value, list | tuple) or len(value) != count:
        raise _wrong(where, value, f"a list of {count} positive numbers, one per keypoint")
    for index, sigma in enumerate(value):
        number = isinstance(sigma, int | float) and not isinstance(sigma, bool)
        if not (number and math.isfinite(sigma) and sigma > 0):
            raise _wrong(f"{where}[{index}]", sigma, "a positive number")
    return tuple(map(float, value))


def _wrong(where: str, value: object, expected: str) -> KeypointSchemaError:
    text = repr(value)
    return KeypointSchemaError(
        f"{where} = {text if len(text) <= 100 else text[:97] + '...'}: expected {expected}"
    )
