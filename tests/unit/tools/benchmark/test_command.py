"""Errors of the command: one line, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.benchmark.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pipeline", "other"], "human_keypoint_detection"),
        (["--images", "nowhere"], "there are no images"),
        (["--detector", "MoveNet-Thunder_256x192"], "is a keypoint model"),
    ],
)
def test_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (tmp_path / "photo.jpg").touch()
    if "--images" not in arguments:
        arguments = ["--images", str(tmp_path), *arguments]
    assert main(arguments) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert message in output.err


def test_unknown_measurements(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "latency,speed"])
    assert "speed: expected some of latency,throughput" in capsys.readouterr().err
