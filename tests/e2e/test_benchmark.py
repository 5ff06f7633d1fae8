"""``scripts/benchmark`` as a program: figures are complete and consistent."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import reference_data
from command_line import run_tool
from tools.benchmark.workload import QUICK

# The others ask the same contestants in the same way, and take minutes.
PARTS = ["latency", "throughput", "people", "start"]
OURS = ["grpc", "http", "rest", "local"]


def run_benchmark(directory: Path, *arguments: str | Path) -> tuple[dict[str, Any], str]:
    """The JSON report and what was printed; the other reports lie in the directory."""
    reports = [f"--{kind}={directory / f'report.{kind}'}" for kind in ("json", "markdown")]
    done = run_tool(directory, "benchmark", "--quick", *arguments, *reports)
    assert done.returncode == 0, done.stderr
    return json.loads((directory / "report.json").read_text()), done.stdout


def cases(report: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    (found,) = (each for each in report["measurements"] if each["name"] == name)
    return {case["label"]: case for case in found["cases"]}


def check_figures(report: dict[str, Any], contestants: list[str]) -> None:
    """Every measurement has a plausible figure of everyone, with its rounds and ratios."""
    for measurement in report["measurements"]:
        taking_part = {
            "client": [key for key in ("paddlex", "paddlex_fastest", "grpc") if key in contestants]
            + ["predict"],
            "rendering": ["paddlex", "render"],
            "batch": ["rest", "rest_batch"],
            "start": [
                key
                for key in ("paddlex", "paddlex_fastest", "engine", "local")
                if key in contestants
            ],
        }.get(measurement["name"], contestants)
        for case in measurement["cases"]:
            assert list(case["figures"]) == taking_part
            for figure in case["figures"].values():
                assert len(figure["rounds"]) == QUICK.rounds
                assert figure["low"] == min(figure["rounds"]) > 0
                assert figure["high"] == max(figure["rounds"])
                assert math.isfinite(figure["value"])
            for ratio in case["ratios"]:
                assert ratio["low"] <= ratio["value"] <= ratio["high"]
        assert measurement["cases"][0]["ratios"]


def check_reports(report: dict[str, Any], printed: str, directory: Path) -> None:
    """Table and Markdown have the labels of the JSON report."""
    markdown = (directory / "report.markdown").read_text()
    for measurement in report["measurements"]:
        assert f"**{measurement['title']}**" in markdown
        assert measurement["title"] in printed
        for key in measurement["cases"][0]["figures"]:
            label = report["contestants"][key]["label"]
            assert f"\n| {label} " in markdown
            assert f"\n{label} " in printed


@pytest.mark.timeout(600)
def test_against_the_bare_engine(
    tmp_path: Path, photo: Path, installed_open_models: list[Path]
) -> None:
    report, printed = run_benchmark(tmp_path, "--images", photo, "--only", ",".join(PARTS))
    assert [each["name"] for each in report["measurements"]] == [
        "latency",
        "throughput",
        "cpu",
        "people",
        "start",
    ]
    contestants = ["engine", *OURS]
    check_figures(report, contestants)
    check_reports(report, printed, tmp_path)
    # As many as this photo can be brought to.
    people = list(cases(report, "people"))
    assert people == [str(count) for count in QUICK.persons][: len(people)]
    assert len(people) >= 2
    assert list(cases(report, "throughput")) == ["1", "16", "best"]

    agreement = report["agreement"]
    assert agreement["reference"] == "engine"
    assert [each["key"] for each in agreement["contestants"]] == OURS
    # The same numerics around the same engine, whichever way a photo comes.
    for each in agreement["contestants"]:
        assert each["photos"]["persons"] == 2
        assert each["photos"]["close_share"] == 1

    overhead = report["overhead"]
    assert overhead["throughput_share"] > 0
    assert overhead["crop_ms"] > 0
    assert report["models"]["detector"] == installed_open_models[0].name
    assert report["images"] == [
        {
            "name": photo.name,
            "width": report["images"][0]["width"],
            "height": report["images"][0]["height"],
            "bytes": photo.stat().st_size,
            "persons": 2,
        }
    ]
    assert report["versions"]["triton"] == "2.51.0"
    assert min(report["memory_bytes"].values()) > 100e6
    # Contestants do nothing while others are measured.
    assert report["disturbance"]["idle_contestants"] < 0.1


@reference_data.needed
@pytest.mark.skipif(
    "TRITONPOSE_TEST_PADDLEX" not in os.environ,
    reason="set TRITONPOSE_TEST_PADDLEX=1 to compare with PaddleX, which downloads 500 MB",
)
@pytest.mark.timeout(900)
def test_against_paddlex(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in ("coco_000000000785.jpg", "ppdet_000000014439.jpg"):
        shutil.copy(reference_data.image(name), images)
    models = reference_data.ROOT / "models"
    report, printed = run_benchmark(
        tmp_path,
        "--paddlex",
        *("--only", "latency,rendering,client"),
        *("--images", images),
        *("--detector", models / "PicoDet-S_pedestrian_320"),
        *("--keypoint_model", models / "PP-TinyPose_128x96"),
    )
    assert [each["name"] for each in report["measurements"]] == ["latency", "rendering", "client"]
    rivals = ["paddlex", "paddlex_fastest", "paddlex_serving"]
    check_figures(report, [*rivals, "engine", *OURS])
    check_reports(report, printed, tmp_path)
    assert report["versions"]["paddlex"]["paddlex"] == "3.7.2"
    pairs = {(each["ours"], each["other"]) for each in cases(report, "latency")["p50"]["ratios"]}
    assert {("grpc", rival) for rival in rivals} < pairs
    assert ("rest", "paddlex_serving") in pairs
    # PaddleX itself, in process and serving, and all of ours find the same.
    agreement = report["agreement"]
    assert agreement["reference"] == "paddlex"
    assert agreement["all_agree"]
    assert {each["photos"]["persons"] for each in agreement["contestants"]} == {
        sum(image["persons"] for image in report["images"])
    }
    (scene,) = cases(report, "rendering")
    assert scene.startswith("9 people, ")
