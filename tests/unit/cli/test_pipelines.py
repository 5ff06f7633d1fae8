"""The pipeline that a command opens does what the options and the pipeline file say."""

from __future__ import annotations

import argparse
import json
import socket
from pathlib import Path

import pytest

from toy_models import install_toys
from tritonpose import local
from tritonpose.cli import main
from tritonpose.cli.parsing import API_KEY_VARIABLE, Parser, add_server, credentials
from tritonpose.cli.pipelines import open_pipeline
from tritonpose.cli.predict import add_options
from tritonpose_server.models.commands import default_store
from videos import gray_frames, write_video

# The toy detector's only score is 0.75.
FILE = """
pipeline_name: human_keypoint_detection
SubModules:
  ObjectDetection: {model_name: toy-detector, threshold: THRESHOLD}
  KeypointDetection: {model_name: toy}
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to work in, with models installed for this test alone."""
    monkeypatch.setenv("TRITONPOSE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TRITONPOSE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    install_toys(default_store().root)
    for threshold in (0.7, 0.8):
        (tmp_path / f"{threshold}.yaml").write_text(FILE.replace("THRESHOLD", str(threshold)))
    return tmp_path


def parse(*words: str) -> argparse.Namespace:
    parser = Parser()
    add_options(parser)
    add_server(parser, "where", "here")
    return parser.parse_args(words)


@pytest.mark.parametrize("url", ["local:", "grpc://127.0.0.1:9"])
@pytest.mark.parametrize("flags", [[], ["--fast_decode"]])
def test_fast_decode_reaches_the_requests(desk: Path, url: str, flags: list[str]) -> None:
    options = parse("photo.jpg", "--pipeline", str(desk / "0.7.yaml"), "--url", url, *flags)
    with open_pipeline(options) as pipeline:
        assert pipeline._config.fast_decode is bool(flags)


def test_a_server_that_was_not_named_has_its_own_settings_and_gets_no_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TRITONPOSE_URL", raising=False)
    monkeypatch.setenv(API_KEY_VARIABLE, "secret")
    options = parse("photo.jpg", "--strict_models", "--device", "gpu:0")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"grpc://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setattr(local, "DEFAULT_URL", url)
        with open_pipeline(options) as pipeline:
            assert pipeline.url == url
    assert capsys.readouterr().err.splitlines() == [
        f"[tritonpose] using the server at {url}",
        f"[tritonpose] warning: --device has no effect: the server at {url} has its own",
        f"[tritonpose] warning: --strict_models has no effect: the server at {url} has its own",
    ]
    assert credentials(options) == {}
    assert credentials(parse("photo.jpg", "--url", url)) == {"api_key": "secret"}


@pytest.mark.parametrize(("threshold", "people"), [(0.7, 1), (0.8, 0)])
@pytest.mark.parametrize("command", ["predict", "track"])
def test_the_file_decides_the_threshold(
    desk: Path, command: str, threshold: float, people: int, capsys: pytest.CaptureFixture[str]
) -> None:
    write_video(desk / "clip.mp4", gray_frames(2))
    file = f"{threshold}.yaml"
    assert main([command, "clip.mp4", "--url", "local:", "--pipeline", file, "--json"]) == 0
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [len(result["boxes"]) for result in results] == [people, people]
