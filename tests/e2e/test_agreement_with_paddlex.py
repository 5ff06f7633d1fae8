"""The served pipeline gives PaddleX's recorded results on every reference image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import reference_data
from reference_data import Setting
from tritonpose.transport import Transport, connect
from tritonpose.transport.messages import PoseRequest, PoseResponse
from tritonpose_server.embedded import EmbeddedServer

pytestmark = reference_data.needed

BOX_TOLERANCE_PX = 0.05
DET_SCORE_TOLERANCE = 0.001
KEYPOINT_TOLERANCE_PX = 0.1
KEYPOINT_SHARE = 0.985
CLEAR_KEYPOINT_TOLERANCE_PX = 0.5
KEYPOINT_SCORE_TOLERANCE = 0.01

# Where a joint's heatmap has two peaks of the same height, the last bit of a box decides which
# of them wins, in PaddleX's own engines as well. The default setting has no such joint.
DEFAULT_SETTING = "picodet320_tinypose128"
TIED_PEAKS_PER_SERIES = 1
TIED_PEAK_SCORE_DIFFERENCE = 0.001


@pytest.fixture(params=["grpc", "http"])
def transport(request: pytest.FixtureRequest, server: EmbeddedServer) -> Iterator[Transport]:
    connection = connect(server.grpc_url if request.param == "grpc" else server.http_url)
    yield connection
    connection.close()


@pytest.mark.parametrize("setting", reference_data.SETTINGS, ids=lambda setting: setting.name)
def test_same_persons_and_keypoints(
    setting: Setting,
    transport: Transport,
    paddle_leaves: dict[str, Path],
) -> None:
    series = reference_data.golden(setting.name)
    assert series
    box_errors: list[float] = []
    det_errors: list[float] = []
    points: list[npt.NDArray[np.float64]] = []
    for expected in series:
        actual = transport.infer(
            PoseRequest(
                image=reference_data.image(expected["input_path"]).read_bytes(),
                frame=None,
                det_threshold=setting.threshold,
                detector=paddle_leaves[setting.detector].name,
                keypoint_model=paddle_leaves[setting.keypoint_model].name,
                flip=setting.flip,
                use_udp=setting.use_udp,
            )
        )
        boxes = expected["boxes"]
        assert len(actual.boxes) == len(boxes), expected["input_path"]
        for index, box in enumerate(boxes):
            box_errors.append(np.abs(actual.boxes[index] - box["coordinate"]).max())
            det_errors.append(abs(actual.det_scores[index] - box["det_score"]))
            points.append(_compare_keypoints(actual, index, box))
    errors = np.concatenate(points)
    score, distance, score_error = errors.T
    visible, clear = distance[score >= 0.1], distance[score >= 0.3]
    share = float((visible <= KEYPOINT_TOLERANCE_PX).mean())
    print(
        f"\n{setting.name}: {len(points)} persons; boxes within {max(box_errors):.4f} px, detector "
        f"scores within {max(det_errors):.6f}; {share:.2%} of keypoints within "
        f"{KEYPOINT_TOLERANCE_PX} px, all within {visible.max():.3f} px, clear ones within "
        f"{clear.max():.3f} px, keypoint scores "
        f"within {score_error.max():.4f}"
    )
    assert max(box_errors) <= BOX_TOLERANCE_PX
    assert max(det_errors) <= DET_SCORE_TOLERANCE
    assert share >= KEYPOINT_SHARE
    off = (score >= 0.3) & (distance > CLEAR_KEYPOINT_TOLERANCE_PX)
    assert off.sum() <= (0 if setting.name == DEFAULT_SETTING else TIED_PEAKS_PER_SERIES)
    assert (score_error[off] <= TIED_PEAK_SCORE_DIFFERENCE).all()
    assert score_error.max() <= KEYPOINT_SCORE_TOLERANCE


def _compare_keypoints(
    actual: PoseResponse, index: int, box: dict[str, Any]
) -> npt.NDArray[np.float64]:
    """Expected score, distance in pixels and score error of each keypoint, ``[17, 3]``."""
    expected = np.array(box["keypoints"])
    difference = actual.keypoints[index] - expected
    assert actual.kpt_scores[index] == pytest.approx(box["kpt_score"], abs=0.001)
    return np.stack(
        [expected[:, 2], np.abs(difference[:, :2]).max(axis=1), np.abs(difference[:, 2])], axis=1
    )
