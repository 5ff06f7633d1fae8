"""The two ways to write a command line: subcommands, and PaddleX's flags."""

from __future__ import annotations

import pytest

import tritonpose
from tritonpose.cli import main, split_command

COMMANDS = ("predict", "batch", "serve", "models", "config")

GUIDE = "--pipeline human_keypoint_detection --input photo.jpg --det_threshold 0.5"


@pytest.mark.parametrize(
    ("line", "command", "rest"),
    [
        ("predict a.jpg --json", "predict", "a.jpg --json"),
        ("models list --json", "models", "list --json"),
        ("serve", "serve", ""),
        (GUIDE, "predict", GUIDE),
        ("--input a.jpg", "predict", "--input a.jpg"),
        ("--serve --pipeline p.yaml", "serve", "--pipeline p.yaml"),
        ("--pipeline p.yaml --serve --port 80", "serve", "--pipeline p.yaml --port 80"),
        ("--get_pipeline_config NAME --save_path d", "config", "NAME --save_path d"),
        ("--save_path d --get_pipeline_config NAME", "config", "--save_path d NAME"),
        ("--get_pipeline_config=NAME --save_path d", "config", "NAME --save_path d"),
    ],
)
def test_what_is_meant(line: str, command: str, rest: str) -> None:
    assert split_command(line.split()) == (command, rest.split())


def test_help_names_every_command_and_fits_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    listed = text[text.index("\ncommands:\n") : text.index("\nPaddleX's flags:\n")]
    assert tuple(line.split()[0] for line in listed.strip().splitlines()[1:]) == COMMANDS
    lines = text.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_commands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: tritonpose {command} ")
    assert "examples:\n" in text
    assert max(map(len, text.splitlines())) <= 100


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"tritonpose {tritonpose.__version__}\n"


def test_nothing_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("usage: tritonpose COMMAND")


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["photo.jpg"]) == 2
    assert capsys.readouterr().err == (
        "error: no command 'photo.jpg' (see tritonpose --help); for images: tritonpose predict\n"
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("predict", "name an input: an image, a directory, a video or a URL"),
        ("--pipeline human_keypoint_detection", "name an input"),
        ("predict a.jpg --det_threshold 1.5", "'1.5' isn't a valid detector score"),
        ("predict a.jpg --det_threshold much", "'much' isn't a valid detector score"),
        (
            "predict a.jpg --draw boxes,hats",
            "'hats' is an unknown value; choose from boxes, scores, ids",
        ),
        ("predict a.jpg --threshold 0.5", "unrecognized arguments: --threshold"),
        ("predict a.jpg --det_thresh 0.5", "unrecognized arguments: --det_thresh"),
        ("serve --port 70000", "'70000' isn't a valid port: expected 1 to 65535"),
        ("serve --grpc_port none", "'none' isn't a valid port"),
        ("serve photo.jpg", "unrecognized arguments: photo.jpg"),
        ("config a b", "unrecognized arguments: b"),
        ("models", "the following arguments are required: ACTION"),
    ],
)
def test_wrong_usage_is_reported_in_one_line(
    line: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert words in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("predict . --pipeline OCR", "expected 'human_keypoint_detection'"),
        ("predict . --device npu:0", "Triton computes on CPUs and NVIDIA GPUs"),
        ("predict . --device cuda", "expected cpu, gpu, gpu:0 or gpu:0,1"),
        ("predict a.jpg --url server:8001", "url='server:8001'"),
        ("--serve --pipeline no.yaml", "can't read the pipeline file 'no.yaml'"),
        ("serve --tuning no.yaml", "can't read the tuning file 'no.yaml': No such file"),
        ("serve --device xpu", "Triton computes on CPUs and NVIDIA GPUs"),
        ("--get_pipeline_config OCR", "unknown pipeline 'OCR'"),
    ],
)
def test_wrong_settings_are_reported_before_anything_is_started(
    line: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert words in printed.err
    assert printed.err.count("\n") == 1
