"""What command lines mean, and their errors: one line, before anything is started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tools.benchmark.__main__ import main as benchmark
from tools.errors import ToolError
from tools.evaluation.__main__ import main as evaluate
from tools.evaluation.variants import Variant, pair_models
from tools.fetch_models import main as fetch
from tools.soak.__main__ import main as soak

EVALUATE = ("--images", "{files}", "--golden", "{files}")


@pytest.mark.parametrize(
    ("main", "arguments", "status", "message"),
    [
        (benchmark, ["--images={files}", "--pipeline=other"], 2, "human_keypoint_detection"),
        (benchmark, ["--images=nowhere"], 1, "there are no images"),
        (benchmark, ["--only=latency,cameras"], 1, "cameras: measured by itself"),
        (benchmark, ["--only=pipeline,cameras"], 1, "cameras, pipeline: measured by itself"),
        (benchmark, ["--only=cameras", "--paddlex"], 1, "cameras compares nothing with PaddleX"),
        (benchmark, ["--only=pipeline", "--paddlex"], 1, "pipeline compares nothing with PaddleX"),
        (benchmark, ["--only=cameras", "--markdown=a.md"], 1, "cameras makes no tables"),
        (
            benchmark,
            ["--images={files}", "--detector=MoveNet-Thunder_256x192"],
            1,
            "keypoint model",
        ),
        (evaluate, [*EVALUATE, "--annotations=nowhere.json"], 1, "nowhere.json"),
        (
            evaluate,
            [*EVALUATE, "--det_threshold=2"],
            2,
            "det_threshold must be a number from 0 to 1, got 2.0",
        ),
        (evaluate, [*EVALUATE, "--url=http://127.0.0.1:1"], 1, "http://127.0.0.1:1 doesn't answer"),
        (evaluate, [*EVALUATE, "--url=grpc://127.0.0.1:1"], 1, "grpc://127.0.0.1:1 doesn't answer"),
        (evaluate, [*EVALUATE, "--url=127.0.0.1:1"], 2, "expected grpc://, grpcs://, http://"),
        (fetch, ["NanoDet_person_416"], 1, "not a model of PaddleX's: choose from PP-YOLOE-S"),
        (soak, ["--photo={files}/a.jpg"], 1, "can't be read as an image"),
    ],
)
def test_errors(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    main: Callable[[list[str]], int],
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    (tmp_path / "a.json").write_text('{"input_path": "a.jpg", "boxes": []}')
    (tmp_path / "a.jpg").touch()
    assert main([argument.format(files=tmp_path) for argument in arguments]) == status
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.splitlines()[-1].startswith("error: ")
    assert message in output.err


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for main, argument, message in (
        (
            benchmark,
            "--only=latency,speed",
            "'speed' is an unknown value; choose from latency",
        ),
        (evaluate, "--images=.", "give --annotations, --golden or --fast_decode"),
        (soak, "--only=fuzz,fizz", "'fizz' is an unknown value; choose from fuzz, connections"),
    ):
        with pytest.raises(SystemExit):
            main([argument])
        assert message in capsys.readouterr().err


def test_pairs_of_models() -> None:
    for detectors, keypoint_models, expected in (
        ("", "", [(None, None)]),
        ("", "kl", [(None, "k"), (None, "l")]),
        ("d", "kl", [("d", "k"), ("d", "l")]),
        ("de", "kl", [("d", "k"), ("e", "l")]),
    ):
        variants = pair_models(list(detectors), list(keypoint_models), flip=True)
        assert variants == [Variant(*names, flip=True) for names in expected]
    with pytest.raises(ToolError, match="2 detectors and 3 keypoint models"):
        pair_models(["d", "e"], ["k", "l", "m"])
