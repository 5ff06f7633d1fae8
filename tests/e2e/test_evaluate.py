"""``scripts/evaluate`` as a program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import reference_data
from command_line import run_tool
from tritonpose import create_pipeline
from tritonpose_server.embedded.server import EmbeddedServer

# Average precision with annotated boxes on four photos with twelve people.
LOWEST_AP = {"PP-TinyPose_256x192": 0.80, "PP-TinyPose_128x96": 0.61}


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
