"""Errors of the command: one line, before a server is started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.evaluation.__main__ import main

NOBODY = {"input_path": "a.jpg", "boxes": []}


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    (tmp_path / "a.json").write_text(json.dumps(NOBODY))
    return tmp_path


def test_nothing_to_compare_with(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--images", "."])
    assert "give --annotations, --golden or both" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--annotations", "nowhere.json"], "nowhere.json"),
        (["--pipeline", "other"], "human_keypoint_detection"),
        (["--det_threshold", "2"], "det_threshold = 2.0: expected a number"),
        (["--detector", "MoveNet-Thunder_256x192"], "is a keypoint model"),
        (["--url", "http://127.0.0.1:1"], "http://127.0.0.1:1 doesn't answer"),
        (["--url", "grpc://127.0.0.1:1"], "grpc://127.0.0.1:1 doesn't answer"),
        (["--url", "127.0.0.1:1"], "expected grpc://, grpcs://, http://"),
    ],
)
def test_errors(
    golden: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["--images", str(golden), "--golden", str(golden), *arguments]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.splitlines()) == 1
    assert output.err.startswith("error: ")
    assert message in output.err
