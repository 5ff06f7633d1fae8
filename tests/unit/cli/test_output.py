"""What is printed and saved of results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tritonpose.cli import main
from tritonpose.cli.output import Output, write_results
from tritonpose.errors import ConfigError, InputError, ServerUnavailableError
from tritonpose.result import KeypointResult

IMAGE = np.full((60, 80, 3), 127, np.uint8)


def person() -> dict[str, object]:
    keypoints = np.tile(np.array([40, 30, 0.9], np.float32), (17, 1))
    coordinate = list(np.array([20, 10, 60, 50], np.float32))
    return {
        "coordinate": coordinate,
        "det_score": 0.75,
        "keypoints": keypoints,
        "kpt_score": np.float32(0.5),
    }


def result(path: str = "a.png", persons: int = 1) -> KeypointResult:
    return KeypointResult(path, IMAGE, [person() for _ in range(persons)])


def failure(path: str, message: str) -> KeypointResult:
    return KeypointResult(path, error=InputError(message))


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_paddlexs_notation(capsys: pytest.CaptureFixture[str]) -> None:
    results = [result("a.png"), result("b.png", persons=0)]
    assert write_results(results, Output(), ["a.png", "b.png"]) == 0
    printed = capsys.readouterr()
    first, second = printed.out.split("}]}}\n")
    assert first.startswith("{'res': {'input_path': 'a.png', 'boxes': [{'coordinate': [20.0, 10.0")
    assert second == "{'res': {'input_path': 'b.png', 'boxes': []}}\n"
    assert printed.err.startswith("[tritonpose] 1 person in 2 images, ")


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    results = [result("a ü.png"), result("b.png", persons=2)]
    assert write_results(results, Output(json_lines=True), ["a ü.png", "b.png"]) == 0
    lines = capsys.readouterr().out.splitlines()
    first, second = (json.loads(line) for line in lines)
    assert first["input_path"] == "a ü.png"
    assert first["boxes"][0]["coordinate"] == [20, 10, 60, 50]
    assert np.shape([box["keypoints"] for box in second["boxes"]]) == (2, 17, 3)


def test_errors_do_not_stop_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    results = [failure("x", "x is no image"), result("a.png"), failure("y", "y is no image")]
    assert write_results(results, Output(json_lines=True), ["x", "a.png", "y"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["input_path"] == "a.png"
    *errors, summary = printed.err.splitlines()
    assert errors == ["error: x is no image", "error: y is no image"]
    assert summary.startswith("[tritonpose] 1 person in 1 image, ")
    assert summary.endswith(" s; 2 failed")


@pytest.mark.parametrize(
    ("save_path", "written"),
    [
        ("out", {"out/a_res.json", "out/a_res.png"}),
        ("out/", {"out/a_res.json", "out/a_res.png"}),
        ("o u t/ü", {"o u t/ü/a_res.json", "o u t/ü/a_res.png"}),
        ("one.json", {"one.json"}),
        ("d/one.JPG", {"d/one.JPG"}),
    ],
)
def test_where_results_are_saved(
    save_path: str,
    written: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert write_results([result()], Output(save_path=save_path), ["a.png"]) == 0
    assert files(tmp_path) == written
    assert capsys.readouterr().err.endswith(f" s; saved to {save_path}\n")


def test_nothing_is_said_to_be_saved_where_all_failed(capsys: pytest.CaptureFixture[str]) -> None:
    assert write_results([failure("x", "no")], Output(save_path="out"), ["x"]) == 1
    assert "saved" not in capsys.readouterr().err


@pytest.mark.parametrize("drawn", ["boxes", "scores", "ids"])
def test_what_is_drawn(tmp_path: Path, drawn: str) -> None:
    plain, more = tmp_path / "plain.png", tmp_path / "more.png"
    write_results([result()], Output(save_path=str(plain)), ["a.png"])
    write_results([result()], Output(save_path=str(more), draw=frozenset([drawn])), ["a.png"])
    assert cv2.absdiff(cv2.imread(str(plain)), cv2.imread(str(more))).any()


def test_a_file_holds_one_result(tmp_path: Path) -> None:
    output = Output(save_path=str(tmp_path / "one.json"))
    results = [failure("x", "x is no image"), result("a.png"), result("b.png")]
    with pytest.raises(ConfigError, match=r"one\.json is a file, which holds one result"):
        write_results(results, output, ["x", "a.png", "b.png"])
    assert json.loads((tmp_path / "one.json").read_text())["input_path"] == "a.png"


def test_what_can_not_be_saved_is_printed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("a file")
    output = Output(json_lines=True, save_path="taken")
    assert write_results([result("a.png")], output, ["a.png"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["input_path"] == "a.png"
    assert "can't save to 'taken': Not a directory" in printed.err


@pytest.mark.parametrize("save_path", ["a.png", "./a.png", "link.png", "d/b.json"])
def test_inputs_are_not_overwritten(
    save_path: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d").mkdir()
    for name in ("a.png", "d/b.json"):
        Path(name).write_text("mine")
    Path("link.png").symlink_to("a.png")
    assert main(["predict", "x.png", "a.png", "d/b.json", "--save_path", save_path]) == 2
    assert capsys.readouterr().err == f"error: --save_path {save_path} is the input itself\n"
    # Of a directory.
    found = result("d/b.json" if "json" in save_path else "a.png")
    assert write_results([found], Output(save_path=save_path), ["."]) == 1
    assert f"error: --save_path {save_path} is the input itself\n" in capsys.readouterr().err
    assert {Path(name).read_text() for name in ("a.png", "d/b.json")} == {"mine"}


def test_results_are_printed_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    def camera() -> Iterator[KeypointResult]:
        for number in range(3):
            yield result(f"{number}.png")
            assert f"{number}.png" in capsys.readouterr().out
        yield KeypointResult("3.png", error=ServerUnavailableError("gone"))
        assert "error: gone\n" in capsys.readouterr().err

    assert write_results(camera(), Output(), ["camera"]) == 1


def test_more_people_than_the_server_gives(capsys: pytest.CaptureFixture[str]) -> None:
    crowd = KeypointResult("crowd.png", IMAGE, [person(), person()], truncated=True)
    assert write_results([crowd, result()], Output(json_lines=True), ["crowd.png", "a.png"]) == 0
    printed = capsys.readouterr()
    assert [json.loads(line).get("truncated") for line in printed.out.splitlines()] == [True, None]
    (warning,) = [line for line in printed.err.splitlines() if "warning" in line]
    assert "'crowd.png': more people were found than the server returns" in warning
    assert "these are the 2 with the best scores" in warning


def test_what_is_passed_over_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "below").mkdir()
    for name in ("a.png", "._a.png", "below/._b.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    assert write_results([result()], Output(), [str(tmp_path), "b.png"]) == 0
    assert capsys.readouterr().err.endswith(
        "; passed over: files that macOS keeps beside others (._x.jpg): 2, "
        "links to directories: 1\n"
    )


def test_a_stand_in_that_finds_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    """Its scores are lower than those of PaddleX's detector."""
    empty = KeypointResult("b.png", np.zeros((8, 8, 3), np.uint8))
    for results, stand_in, expected in (
        ([result(), empty], "NanoDet", True),
        ([result()], "NanoDet", False),
        ([empty], None, False),
    ):
        names = [each["input_path"] for each in results]
        assert write_results(results, Output(), names, stand_in=lambda name=stand_in: name) == 0
        line = "nobody was found in 1 of 2: NanoDet, which stands in"
        assert (line in capsys.readouterr().err) is expected
