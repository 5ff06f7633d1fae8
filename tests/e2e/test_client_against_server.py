"""The client library against the real server, as a user of PaddleX would use it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tritonpose import HumanKeypointPipeline, InputError, ServerUnavailableError, create_pipeline


def test_every_kind_of_input_in_order(
    pipeline: HumanKeypointPipeline, photo: Path, tmp_path: Path
) -> None:
    frame = cv2.imread(str(photo))
    cv2.imwrite(str(tmp_path / "a.png"), frame)
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((64, 64, 3), np.uint8))
    results = list(pipeline.predict([frame, str(photo), tmp_path]))
    assert [result["input_path"] for result in results] == [
        None,
        str(photo),
        *(str(tmp_path / name) for name in ("a.png", "b.png")),
    ]
    assert [len(result["boxes"]) for result in results] == [2, 2, 2, 0]
    for result in results[:3]:
        np.testing.assert_array_equal(result["input_img"], frame)


def test_results_are_printed_and_saved(
    pipeline: HumanKeypointPipeline,
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (result,) = pipeline.predict(photo)
    result.print()
    result.save_to_json(str(tmp_path))
    result.save_to_img(str(tmp_path))
    assert capsys.readouterr().out.startswith("{'res': {'input_path': ")
    saved = json.loads((tmp_path / f"{photo.stem}_res.json").read_text())
    assert saved == result.json["res"]
    person = saved["boxes"][0]
    assert set(person) == {"coordinate", "det_score", "keypoints", "kpt_score"}
    assert np.array(person["keypoints"]).shape == (17, 3)
    drawn = cv2.imread(str(tmp_path / f"{photo.stem}_res{photo.suffix}"))
    x, y = np.array(person["keypoints"])[5, :2].round().astype(int)
    # The left shoulder's circle is saturated; the shirt under it is not.
    assert np.ptp(drawn[y, x]) > np.ptp(cv2.imread(str(photo))[y, x]) + 50


def test_text_renamed_to_jpg_is_named_and_the_next_one_works(
    pipeline: HumanKeypointPipeline, photo: Path, tmp_path: Path
) -> None:
    impostor = tmp_path / "letter.jpg"
    impostor.write_text("Dear friend,\nthis is no photo.\n")
    with pytest.raises(InputError, match=r"letter\.jpg.*text"):
        list(pipeline.predict(str(impostor)))
    bad, good = pipeline.predict([str(impostor), str(photo)], on_error="collect")
    assert isinstance(bad.error, InputError)
    assert good.error is None
    assert len(good["boxes"]) == 2


def test_threshold_of_the_call(pipeline: HumanKeypointPipeline, photo: Path) -> None:
    assert [len(next(pipeline.predict(photo, value))["boxes"]) for value in (0.6, 1)] == [1, 0]


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_no_server(scheme: str, photo: Path) -> None:
    url = f"{scheme}://127.0.0.1:9"
    with (
        create_pipeline("human_keypoint_detection", url=url) as client,
        pytest.raises(ServerUnavailableError, match=r"127\.0\.0\.1:9"),
    ):
        list(client.predict(photo))
