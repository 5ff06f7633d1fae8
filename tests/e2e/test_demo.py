"""The demo as a program."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
import yaml

import reference_data
from command_line import run_tool


def test_sample_photo(tmp_path: Path, photo: Path) -> None:
    done = run_tool(tmp_path, "demo")
    assert done.returncode == 0, done.stderr
    assert "NanoDet_person_416" in done.stderr
    assert done.stdout.startswith("{'res': {'input_path': ")
    result = json.loads((tmp_path / "output" / "sample_res.json").read_text())
    assert len(result["boxes"]) == 2
    drawn = cv2.imread(str(tmp_path / "output" / "sample_res.jpg"))
    original = cv2.imread(str(photo))
    assert drawn.shape == original.shape
    changed = (cv2.absdiff(drawn, original).max(axis=2) > 100).nonzero()
    boxes = [box["coordinate"] for box in result["boxes"]]
    inside = [
        any(x1 <= x <= x2 and y1 <= y <= y2 for x1, y1, x2, y2 in boxes)
        for y, x in zip(*changed, strict=True)
    ]
    assert len(inside) > 300
    assert all(inside)


@reference_data.needed
def test_models_of_a_pipeline_file(tmp_path: Path) -> None:
    """They are converted at the first start, and found at the second."""
    models = reference_data.ROOT / "models"
    content = {
        "pipeline_name": "human_keypoint_detection",
        "SubModules": {
            "ObjectDetection": {
                "module_name": "object_detection",
                "model_name": "PicoDet-S",
                "model_dir": str(models / "PicoDet-S_pedestrian_320"),
                "batch_size": 1,
                "threshold": None,
                "img_size": None,
            },
            "KeypointDetection": {
                "module_name": "keypoint_detection",
                "model_name": "PP-TinyPose_128x96",
                "model_dir": str(models / "PP-TinyPose_128x96"),
                "batch_size": 1,
                "flip": False,
                "use_udp": None,
            },
        },
    }
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(content))
    image = reference_data.image("coco_000000000785.jpg")
    series = reference_data.golden("picodet320_tinypose128")
    (expected,) = (each for each in series if each["input_path"] == image.name)
    for run in ("first", "second"):
        arguments = ["--pipeline", "pipeline.yaml", "--save_path", run, image]
        done = run_tool(tmp_path, "demo", *arguments, TRITONPOSE_HOME=str(tmp_path / "home"))
        assert done.returncode == 0, done.stderr
        result = json.loads((tmp_path / run / f"{image.stem}_res.json").read_text())
        assert len(result["boxes"]) == len(expected["boxes"]) == 1
        assert result["boxes"][0]["coordinate"] == pytest.approx(
            expected["boxes"][0]["coordinate"], abs=0.05
        )
    content["SubModules"]["KeypointDetection"]["model_dir"] = "nowhere"  # type: ignore[index]
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(content))
    done = run_tool(tmp_path, "demo", "--pipeline", "pipeline.yaml")
    assert done.returncode == 1
    *_, error = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert "nowhere: there is no such model directory or file" in error
