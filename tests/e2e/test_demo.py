"""The demo as a program."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import yaml

import reference_data


def run_demo(
    environment: dict[str, str], directory: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.demo", *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_sample_photo(environment: dict[str, str], tmp_path: Path, photo: Path) -> None:
    done = run_demo(environment, tmp_path)
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


@pytest.mark.parametrize(
    ("module", "settings", "status", "message"),
    [
        (
            "ObjectDetection",
            {"model_name": "YOLO-9000"},
            1,
            "no model 'YOLO-9000' is installed or known",
        ),
        ("ObjectDetection", {"model_dir": "nowhere"}, 1, "nowhere does not exist"),
        ("KeypointDetection", {"flip": "perhaps"}, 2, "flip"),
    ],
)
def test_wrong_pipeline_file(
    environment: dict[str, str],
    tmp_path: Path,
    module: str,
    settings: dict[str, object],
    status: int,
    message: str,
) -> None:
    content = {
        "pipeline_name": "human_keypoint_detection",
        "SubModules": {
            "ObjectDetection": {"model_name": "PP-YOLOE-S_human", "model_dir": None},
            "KeypointDetection": {"model_name": "PP-TinyPose_128x96", "model_dir": None},
        },
    }
    content["SubModules"][module].update(settings)  # type: ignore[index]
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(content))
    done = run_demo(environment, tmp_path, "--pipeline", "pipeline.yaml")
    assert done.returncode == status
    *_, error = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert "Traceback" not in done.stderr


@reference_data.needed
def test_models_of_a_pipeline_file(environment: dict[str, str], tmp_path: Path) -> None:
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
    home = {**environment, "TRITONPOSE_HOME": str(tmp_path / "home")}
    image = reference_data.image("coco_000000000785.jpg")
    for run in ("first", "second"):
        done = run_demo(
            home, tmp_path, "--pipeline", "pipeline.yaml", "--save_path", run, str(image)
        )
        assert done.returncode == 0, done.stderr
        result = json.loads((tmp_path / run / f"{image.stem}_res.json").read_text())
        (expected,) = (
            golden
            for golden in reference_data.golden("picodet320_tinypose128")
            if golden["input_path"] == image.name
        )
        assert len(result["boxes"]) == len(expected["boxes"]) == 1
        assert result["boxes"][0]["coordinate"] == pytest.approx(
            expected["boxes"][0]["coordinate"], abs=0.05
        )
