"""What a PaddleX model says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paddle_networks import MEAN, STD, inference_yml, write_model_directory
from tritonpose_server.models.errors import ConversionError
from tritonpose_server.models.paddle.inference_yml import (
    InferenceYml,
    Normalization,
    read_inference_yml,
)

IDENTITY = Normalization(1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
IMAGENET = Normalization(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def read(folder: Path, content: dict[str, Any]) -> InferenceYml:
    return read_inference_yml(write_model_directory(folder, None, content) / "inference.yml")


def test_detector(tmp_path: Path) -> None:
    assert read(tmp_path, inference_yml("detector", 192, 320)) == InferenceYml(
        model_name="PicoDet-S",
        is_named=True,
        role="detector",
        height=192,
        width=320,
        normalization=IMAGENET,
        interpolation="cubic",
        keep_ratio=False,
        labels=("pedestrian",),
        threshold=0.5,
        use_udp=False,
    )


def test_keypoint_model(tmp_path: Path) -> None:
    """Its size is written width first."""
    yml = read(tmp_path, inference_yml("keypoint", 128, 96))
    assert (yml.model_name, yml.role) == ("PP-TinyPose_32x24", "keypoint")
    assert (yml.height, yml.width, yml.normalization) == (128, 96, IMAGENET)
    assert yml.use_udp is False


@pytest.mark.parametrize(
    ("role", "change", "field", "expected"),
    [
        ("detector", {"Global": None}, "model_name", "GFL"),
        ("detector", {"Global__model_name": ""}, "model_name", "GFL"),
        ("detector", {"Global": None, "arch": None}, "model_name", "model"),
        *(
            ("detector", {"Resize__interp": given}, "interpolation", name)
            for given, name in (
                *((0, "nearest"), (1, "linear"), (3, "area"), (4, "lanczos4")),
                *(("LINEAR", "linear"), (None, "cubic")),
            )
        ),
        ("detector", {"Resize__keep_ratio": True}, "keep_ratio", True),
        ("detector", {"Resize__keep_ratio": None}, "keep_ratio", False),
        ("detector", {"label_list": None}, "labels", ()),
        ("detector", {"label_list": ["cat", 7]}, "labels", ("cat", "7")),
        *(
            ("detector", {"draw_threshold": given}, "threshold", threshold)
            for given, threshold in ((0, 0.0), (1, 1.0), (0.25, 0.25), (None, 0.5))
        ),
        *(("keypoint", {"TopDownEvalAffine__use_udp": x}, "use_udp", x) for x in (True, False)),
    ],
)
def test_values(
    tmp_path: Path, role: str, change: dict[str, Any], field: str, expected: object
) -> None:
    value = getattr(read(tmp_path, inference_yml(role, 32, 32, **change)), field)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"is_scale": False}, Normalization(1.0, IMAGENET.mean, IMAGENET.std)),
        ({"is_scale": None}, IMAGENET),
        ({"mean": None, "std": None}, IMAGENET),
        (
            {"is_scale": False, "mean": [103.5, 116, 123.6], "std": [57, 57.5, 58]},
            Normalization(1.0, (103.5, 116.0, 123.6), (57.0, 57.5, 58.0)),
        ),
        ({"norm_type": "mean_std"}, IMAGENET),
        ({"norm_type": "none"}, Normalization(1 / 255, IDENTITY.mean, IDENTITY.std)),
        ({"norm_type": "none", "is_scale": False}, IDENTITY),
        (None, IDENTITY),
    ],
)
def test_normalization(
    tmp_path: Path, change: dict[str, Any] | None, expected: Normalization
) -> None:
    """Without the step, pixels go in as they are."""
    steps = {f"NormalizeImage__{key}": value for key, value in (change or {}).items()}
    content = inference_yml("detector", 32, 32, **steps)
    if change is None:
        del content["Preprocess"][1]
    assert read(tmp_path, content).normalization == expected


@pytest.mark.parametrize(
    ("normalization", "expected"),
    [
        (IMAGENET, (124, 116, 104)),
        (Normalization(1.0, (103.53, 116.28, 123.675), (57.0, 57.0, 58.0)), (104, 116, 124)),
        (Normalization(1.0, (-3.0, 300.0, 0.0), (1.0, 1.0, 1.0)), (0, 255, 0)),
        (IDENTITY, (0, 0, 0)),
    ],
)
def test_zero_color(normalization: Normalization, expected: tuple[int, int, int]) -> None:
    assert normalization.zero_color() == expected


WRONG = {
    "Resize.target_size": (None, 320, [320], [320, 0], [320, -1], [320.0, 320]),
    "TopDownEvalAffine.trainsize": (None, [96, 0]),
    "Resize.interp": (5, -1, "bilinear", [2]),
    "draw_threshold": (1.5, -0.1, "high", float("nan")),
    "NormalizeImage.norm_type": ("minmax",),
    "NormalizeImage.mean": (MEAN[:2], 0.5),
    "NormalizeImage.std": (["a", "b", "c"], [*STD[:2], 0], [*STD[:2], -1.0]),
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, v) for key, values in WRONG.items() for v in values]
)
def test_wrong_values(tmp_path: Path, key: str, value: object) -> None:
    role = "keypoint" if key.startswith("TopDown") else "detector"
    with pytest.raises(ConversionError) as caught:
        read(tmp_path, inference_yml(role, 32, 32, **{key.replace(".", "__"): value}))
    assert key in str(caught.value)
    assert str(tmp_path / "inference.yml") in str(caught.value)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([{"target_size": [32, 32]}], "step without `type`"),
        (["Resize"], "step without `type`: Resize"),
        ([{"type": 3}], "step without `type`"),
        ([{"type": "Resize", "target_size": [8, 8]}, {"type": "Pad"}], "'Pad' is not supported"),
        ([], "either `Resize`"),
        ([{"type": "Permute"}], "either `Resize`"),
        (
            [
                {"type": "Resize", "target_size": [8, 8]},
                {"type": "TopDownEvalAffine", "trainsize": [8, 8]},
            ],
            "either `Resize`",
        ),
    ],
)
def test_wrong_steps(tmp_path: Path, steps: list[Any], words: str) -> None:
    with pytest.raises(ConversionError) as caught:
        read(tmp_path, {"Preprocess": steps})
    assert words in str(caught.value)
    assert str(tmp_path / "inference.yml") in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is missing"),
        (b"", "no list `Preprocess`"),
        (b"[1, 2]", "no list `Preprocess`"),
        (b"Preprocess: {type: Resize}", "no list `Preprocess`"),
        (b"arch: GFL", "no list `Preprocess`"),
        (b"a: [1", "isn't valid YAML"),
        (b"a: \xff\xfe", "isn't valid YAML"),
        (b"a: 2026-13-45", "isn't valid YAML"),
    ],
)
def test_unreadable_files(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "inference.yml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConversionError) as caught:
        read_inference_yml(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
