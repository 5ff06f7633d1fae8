"""Errors of the commands: one line, before anything is started."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.benchmark.__main__ import main as benchmark
from tools.evaluation.__main__ import main as evaluate
from tools.soak.__main__ import main as soak


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with a result of PaddleX and its photo."""
    (tmp_path / "a.json").write_text(json.dumps({"input_path": "a.jpg", "boxes": []}))
    (tmp_path / "a.jpg").touch()
    return tmp_path


EVALUATE = ("--images", "{files}", "--golden", "{files}")


@pytest.mark.parametrize(
    ("main", "arguments", "message"),
    [
        (benchmark, ["--images={files}", "--pipeline=other"], "human_keypoint_detection"),
        (benchmark, ["--images=nowhere"], "there are no images"),
        (benchmark, ["--images={files}", "--detector=MoveNet-Thunder_256x192"], "keypoint model"),
        (evaluate, [*EVALUATE, "--annotations=nowhere.json"], "nowhere.json"),
        (evaluate, [*EVALUATE, "--pipeline=other"], "human_keypoint_detection"),
        (evaluate, [*EVALUATE, "--det_threshold=2"], "det_threshold = 2.0: expected a number"),
        (evaluate, [*EVALUATE, "--detector=MoveNet-Thunder_256x192"], "is a keypoint model"),
        (evaluate, [*EVALUATE, "--url=http://127.0.0.1:1"], "http://127.0.0.1:1 doesn't answer"),
        (evaluate, [*EVALUATE, "--url=grpc://127.0.0.1:1"], "grpc://127.0.0.1:1 doesn't answer"),
        (evaluate, [*EVALUATE, "--url=127.0.0.1:1"], "expected grpc://, grpcs://, http://"),
        (soak, ["--photo={files}/a.jpg"], "can't be read as an image"),
    ],
)
def test_errors(
    files: Path,
    capsys: pytest.CaptureFixture[str],
    main: Callable[[list[str]], int],
    arguments: list[str],
    message: str,
) -> None:
    assert main([argument.format(files=files) for argument in arguments]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.splitlines()[-1].startswith("error: ")
    assert message in output.err


@pytest.mark.parametrize(
    ("main", "arguments", "message"),
    [
        (benchmark, ["--only=latency,speed"], "speed: expected some of latency,throughput"),
        (evaluate, ["--images=."], "give --annotations, --golden or both"),
        (soak, ["--only=fuzz,fizz"], "fizz: expected some of fuzz,load,requests,reloads,kills"),
    ],
)
def test_wrong_usage(
    capsys: pytest.CaptureFixture[str],
    main: Callable[[list[str]], int],
    arguments: list[str],
    message: str,
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err
