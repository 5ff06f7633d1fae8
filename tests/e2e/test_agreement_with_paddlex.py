"""The served pipeline gives PaddleX's recorded results on every reference image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import reference_data
from reference_data import Setting
from tools.evaluation.agreement import (
    CLEAR,
    CLOSE_PX,
    Agreement,
    Differences,
    compare,
    parse_saved_result,
)
from tritonpose.transport import Transport, connect
from tritonpose.transport.messages import InferRequest
from tritonpose_server.embedded.server import EmbeddedServer

pytestmark = reference_data.needed

BOX_TOLERANCE_PX = 0.05
DET_SCORE_TOLERANCE = 0.001
KEYPOINT_SHARE = 0.985
CLEAR_KEYPOINT_TOLERANCE_PX = 0.5
KEYPOINT_SCORE_TOLERANCE = 0.01
MEAN_SCORE_TOLERANCE = 0.001

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
    installed_paddle_models: dict[str, Path],
) -> None:
    series = reference_data.golden(setting.name)
    assert series
    compared: list[tuple[str, Differences | None]] = []
    for content in series:
        image = Path(content["input_path"]).name
        actual = transport.infer(
            InferRequest(
                image=reference_data.image(image).read_bytes(),
                det_threshold=setting.threshold,
                detector=installed_paddle_models[setting.detector].name,
                keypoint_model=installed_paddle_models[setting.keypoint_model].name,
                flip=setting.flip,
                use_udp=setting.use_udp,
            )
        )
        compared.append((image, compare(parse_saved_result(content), actual)))
    agreement = Agreement.of(compared)
    print(
        f"\n{setting.name}: {agreement.persons} persons; boxes within {agreement.box_px:.4f} px, "
        f"detector scores within {agreement.det_score:.6f}; {agreement.close_share:.2%} of "
        f"keypoints within {CLOSE_PX} px, all within {agreement.visible_px:.3f} px, clear ones "
        f"within {agreement.clear_px:.3f} px, keypoint scores within "
        f"{agreement.keypoint_score:.4f}"
    )
    assert agreement.other_persons == ()
    all_persons = Differences.join([each for _, each in compared if each is not None])
    assert all_persons.box_px.max() <= BOX_TOLERANCE_PX
    assert all_persons.det_score.max() <= DET_SCORE_TOLERANCE
    assert all_persons.kpt_score.max() <= MEAN_SCORE_TOLERANCE
    assert all_persons.keypoint_score.max() <= KEYPOINT_SCORE_TOLERANCE
    assert agreement.close_share is not None
    assert agreement.close_share >= KEYPOINT_SHARE
    off = (all_persons.expected_score >= CLEAR) & (
        all_persons.keypoint_px > CLEAR_KEYPOINT_TOLERANCE_PX
    )
    assert off.sum() <= (0 if setting.name == DEFAULT_SETTING else TIED_PEAKS_PER_SERIES)
    assert (all_persons.keypoint_score[off] <= TIED_PEAK_SCORE_DIFFERENCE).all()
