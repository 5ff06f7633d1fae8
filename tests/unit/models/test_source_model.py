"""Running models as they were before conversion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from paddle_networks import (
    detector_network,
    detector_reference,
    keypoint_network,
    keypoint_reference,
    normalize,
    pixels,
)
from tritonpose_server.models.paddle import source_model
from tritonpose_server.models.paddle.source_model import OnnxSource, PaddleSource

Cases = Sequence[Mapping[str, np.ndarray]]


def images(height: int, width: int) -> list[np.ndarray]:
    """Three normalised images, one by one."""
    return list(normalize(pixels(3, height, width)).astype(np.float32)[:, None])


@pytest.mark.parametrize("batch", [1, "N"])
def test_onnx_keypoint_model(batch: int | str) -> None:
    results = OnnxSource(keypoint_network(32, 24, batch=batch)).run(images(32, 24))
    assert len(results) == 3
    for outputs, image in zip(results, images(32, 24), strict=True):
        (heatmap,) = (array for array in outputs if array.shape == (1, 17, 8, 6))
        np.testing.assert_allclose(heatmap, keypoint_reference(image), rtol=1e-4, atol=1e-5)


def test_onnx_detectors_get_scale_factor_one() -> None:
    """Their boxes are in network pixels then."""
    (outputs, *_) = OnnxSource(detector_network(32, 48)).run(images(32, 48))
    boxes, scores = detector_reference(images(32, 48)[0])
    (rows,) = outputs
    assert len(rows) > 0
    for row in rows:
        anchor = np.argmin(np.abs(scores[0, 0] - row[1]))
        np.testing.assert_allclose(row[2:], boxes[0, anchor], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "height", "width", "inputs"),
    [
        (keypoint_network, 32, 24, {"image"}),
        (detector_network, 32, 48, {"image", "scale_factor"}),
    ],
)
def test_paddle(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[int, int], onnx.ModelProto],
    height: int,
    width: int,
    inputs: set[str],
) -> None:
    """It is run once for all images, with the inputs that it has."""
    seen: list[Cases] = []

    def run_paddle(directory: Path, cases: Cases) -> list[list[np.ndarray]]:
        assert directory == tmp_path
        seen.append(cases)
        return [[case["image"]] for case in cases]

    monkeypatch.setattr(source_model, "run_paddle", run_paddle)
    results = PaddleSource(tmp_path, make(height, width)).run(images(height, width))
    np.testing.assert_array_equal([output for (output,) in results], images(height, width))
    (cases,) = seen
    for case in cases:
        assert set(case) == inputs
        factor = case.get("scale_factor", np.ones((1, 2), np.float32))
        assert factor.tolist() == [[1, 1]]
