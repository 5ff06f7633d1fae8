"""``tritonpose config``, PaddleX's ``--get_pipeline_config``."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml

from tritonpose.cli import main
from tritonpose.config import PIPELINE_NAME, PipelineConfig

FLAG = ["--get_pipeline_config", PIPELINE_NAME]
FILE = f"{PIPELINE_NAME}.yaml"


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to work in, and nobody to answer questions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return tmp_path


def answer(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


@pytest.mark.parametrize(
    ("save_path", "written"),
    [
        ("./my_path", f"my_path/{FILE}"),
        ("a/b c/ü", f"a/b c/ü/{FILE}"),
        ("mine.yaml", "mine.yaml"),
        ("a/mine.yml", "a/mine.yml"),
    ],
)
@pytest.mark.parametrize("form", [FLAG, ["config"], ["config", PIPELINE_NAME]])
def test_where_it_is_written(
    desk: Path, form: list[str], save_path: str, written: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*form, "--save_path", save_path]) == 0
    assert [path for path in desk.rglob("*") if path.is_file()] == [desk / written]
    assert capsys.readouterr() == ("", f"written to {written}\n")


def test_what_is_written_is_paddlexs_pipeline(desk: Path) -> None:
    main([*FLAG, "--save_path", "."])
    content = yaml.safe_load((desk / FILE).read_text())
    modules = content["SubModules"]
    assert content["pipeline_name"] == PIPELINE_NAME
    assert modules["ObjectDetection"] == {
        "module_name": "object_detection",
        "model_name": "PP-YOLOE-S_human",
        "model_dir": None,
        "batch_size": 1,
        "threshold": None,
        "img_size": None,
    }
    assert modules["KeypointDetection"] == {
        "module_name": "keypoint_detection",
        "model_name": "PP-TinyPose_128x96",
        "model_dir": None,
        "batch_size": 1,
        "flip": False,
        "use_udp": None,
    }
    loaded = PipelineConfig.load(desk / FILE)
    assert (loaded.detector.model_name, loaded.detector.threshold) == ("PP-YOLOE-S_human", None)
    assert (loaded.keypoint.model_name, loaded.keypoint.flip) == ("PP-TinyPose_128x96", False)


@pytest.mark.parametrize(("answers", "written"), [([], FILE), ([""], FILE), (["d"], f"d/{FILE}")])
def test_without_save_path_it_asks(
    desk: Path,
    answers: list[str],
    written: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer(monkeypatch, *answers)
    assert main(FLAG) == 0
    assert (desk / written).is_file()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Directory or file to write to [./]: ")


@pytest.mark.parametrize(
    ("answers", "status"), [([], 1), ([""], 1), (["n"], 1), (["y"], 0), (["Y"], 0)]
)
def test_an_existing_file_is_replaced_only_when_that_is_said(
    desk: Path,
    answers: list[str],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (desk / FILE).write_text("mine")
    answer(monkeypatch, *answers)
    assert main([*FLAG, "--save_path", "."]) == status
    assert ((desk / FILE).read_text() == "mine") is (status == 1)
    printed = capsys.readouterr().err
    assert printed.startswith(f"{FILE} exists. Replace it? [y/N]: ")
    assert (f"error: {FILE} exists and was left as it is" in printed) is (status == 1)


def test_a_place_that_can_not_be_written(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "taken").write_text("a file")
    assert main([*FLAG, "--save_path", "taken/mine.yaml"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert "taken" in printed
    assert printed.count("\n") == 1
