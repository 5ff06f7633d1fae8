"""``scripts/evaluate`` as a program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import reference_data
from command_line import run_tool
from tools.evaluation.tracking.videos import follow_video
from tritonpose import create_pipeline
from tritonpose_server.embedded.server import EmbeddedServer

# Average precision with annotated boxes on four photos with twelve people.
LOWEST_AP = {"PP-TinyPose_256x192": 0.80, "PP-TinyPose_128x96": 0.61}

PIPELINE = """
pipeline_name: human_keypoint_detection
SubModules:
  ObjectDetection:
    model_name: PicoDet-S
    model_dir: {models}/PicoDet-S_pedestrian_320
    threshold: 0.5
  KeypointDetection:
    model_name: PP-TinyPose_128x96
    model_dir: {models}/PP-TinyPose_128x96
"""
# Where somebody walks in one of the videos, by frame.
WALKER = {
    60: [1256, 530, 1516, 945],
    80: [1093, 517, 1347, 936],
    100: [897, 512, 1165, 939],
    120: [708, 505, 962, 937],
    140: [496, 501, 753, 935],
    160: [336, 505, 535, 950],
    180: [118, 506, 291, 945],
}


def run_evaluate(directory: Path, *arguments: str | Path) -> tuple[list[dict[str, Any]], str]:
    """Evaluations and what was printed."""
    report = directory / "report.json"
    done = run_tool(directory, "evaluation", *arguments, "--json", report)
    assert done.returncode == 0, done.stderr
    return json.loads(report.read_text())["evaluations"], done.stdout


@reference_data.needed
def test_coco_scores(
    server: EmbeddedServer, installed_paddle_models: dict[str, Path], tmp_path: Path
) -> None:
    models = [f"--keypoint_model={installed_paddle_models[name].name}" for name in LOWEST_AP]
    evaluations, printed = run_evaluate(
        tmp_path,
        *("--url", server.http_url),
        *("--annotations", reference_data.image("coco_annotations.json")),
        *("--images", reference_data.image("coco_000000000785.jpg").parent),
        *("--image_prefix", "coco_"),
        *("--detector", installed_paddle_models["PicoDet-S_pedestrian_320"].name, *models),
    )
    print(f"\n{printed}")
    for evaluation, (name, lowest) in zip(evaluations, LOWEST_AP.items(), strict=True):
        assert evaluation["variant"]["keypoint_model"] == installed_paddle_models[name].name
        coco = evaluation["coco"]
        assert coco["images"] == 4
        assert coco["given_persons"] == 12
        assert coco["given_boxes"]["AP"] >= lowest
        assert coco["found_boxes"]["AP"] >= lowest - 0.05
        assert coco["detection"]["AP"] >= 0.75
        # The table has what the report has.
        assert f"{coco['given_boxes']['AP']:.3f}" in printed


def test_agreement_with_saved_results_on_a_server_of_its_own(
    server: EmbeddedServer, tmp_path: Path, photo: Path
) -> None:
    with create_pipeline("human_keypoint_detection", url=server.grpc_url) as pipeline:
        for result in pipeline.predict(photo, det_threshold=0.6):
            result.save_to_json(tmp_path / "saved")
    evaluations, printed = run_evaluate(
        tmp_path,
        *("--golden", tmp_path / "saved"),
        *("--images", photo.parent),
        *("--det_threshold", "0.6"),
        *("--keypoint_model", "MoveNet-Thunder_256x192"),
        *("--keypoint_model", "MoveNet-Lightning_256x192"),
        "--fast_decode",
    )
    effect = evaluations[0]["fast_decode"]
    assert (effect["persons"], effect["lost"], effect["added"]) == (2, 0, 0)
    assert 0.9 < effect["oks"] < 1
    same, other = (each["agreement"] for each in evaluations)
    assert same["images"] == same["persons"] == 1
    assert same["box_px"] == same["clear_px"] == same["keypoint_score"] == 0
    assert other["box_px"] == 0
    assert other["clear_px"] > 0
    assert "Agreement with PaddleX" in printed


def test_tracking_of_people_cut_out_of_a_photo(tmp_path: Path, photo: Path) -> None:
    done = run_tool(
        tmp_path,
        *("evaluation", "tracking", "--quick", "--no_rivals"),
        *("--images", photo),
        *("--clips", "walk@10", "still@10"),
        *("--json", tmp_path / "report.json"),
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    still, walk = report["clips"]
    assert (still["clip"], walk["clip"]) == ("still@10", "walk@10")
    assert 0 < still["jitter"] < 0.5 * still["raw_jitter"]
    assert 0 < walk["lag"] <= 1
    for clip in (still, walk):
        assert clip["trackers"]["tritonpose"]["switches"] == 0
        assert len(clip["trackers"]["tritonpose"]["ids"]) >= 2
    (interval,) = report["intervals"]
    assert interval["close"] >= 0.99
    assert interval["joints"] > 300
    assert "joints within OKS 0.9" in done.stdout


def test_tracking_needs_people_to_cut_out(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "nobody.png"), np.full((90, 160, 3), 128, np.uint8))
    done = run_tool(
        tmp_path, "evaluation", "tracking", "--no_rivals", "--images", tmp_path / "nobody.png"
    )
    assert done.returncode == 1
    assert "clips are made of people who stand alone" in done.stderr


@reference_data.needed
def test_ids_of_real_people(tmp_path: Path) -> None:
    """Two athletes who overlap, and somebody who walks behind a tree and out of the picture."""
    videos = reference_data.ROOT / "videos"
    models = reference_data.ROOT / "models"
    (tmp_path / "pipeline.yaml").write_text(PIPELINE.format(models=models))
    with create_pipeline(tmp_path / "pipeline.yaml", url="local:") as pipeline:
        for name in ("pose2sim_multi_cam01.mp4", "pose2sim_multi_cam02.mp4"):
            followed = follow_video(pipeline, videos / name)
            print(f"\n{name}: {followed}")
            assert followed["frames"] == 100
            (shirt,), (bare,) = followed["people"].values()
            assert shirt != bare
            assert followed["spans"][shirt] == followed["spans"][bare] == [0, 99]
        # Of the walker's boxes, some.
        walks = {"people": ["walker"], "frames": [{"walker": WALKER.get(n)} for n in range(230)]}
        clip = tmp_path / "sports2d_demo.mp4"
        clip.symlink_to(videos / clip.name)
        (tmp_path / "truth").mkdir()
        (tmp_path / "truth" / "sports2d_demo.json").write_text(json.dumps(walks))
        followed = follow_video(pipeline, clip)
        print(f"\n{clip.name}: {followed}")
        (walker,) = followed["people"]["walker"]
        first, last = followed["spans"][walker]
        assert first < 60
        assert last > 160
