"""The two ways to write a command line: subcommands, and PaddleX's flags."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

import tritonpose
from tritonpose.cli import main, split_command
from tritonpose.cli.parsing import Parser, boxes, command_parser, region, threshold
from tritonpose.cli.predict import add_options

COMMANDS = ("predict", "track", "batch", "serve", "models", "config")

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
        ("--get-pipeline-config=my-NAME --save_path d", "config", "my-NAME --save_path d"),
        ("--get-pipeline-config my-NAME", "config", "my-NAME"),
        ("--input a.jpg -- --serve", "predict", "--input a.jpg -- --serve"),
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


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("photo.jpg", "for images: tritonpose predict"),
        ("trak", "did you mean track?"),
        ("tracks", "did you mean track?"),
        ("help", "did you mean --help?"),
    ],
)
def test_no_command(word: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 2
    error = f"error: no command {word!r} (see tritonpose --help); {hint}\n"
    assert capsys.readouterr().err == error


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that was printed; it shows no secret."""
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert "secret" not in printed.err
    return printed.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("predict", "name an input: an image, a directory, a video or a URL"),
        ("--pipeline human_keypoint_detection", "name an input"),
        ("predict a.jpg --det_threshold 1.5", "'1.5' isn't a valid detector score"),
        ("predict a.jpg --det_threshold much", "'much' isn't a valid detector score"),
        ("predict a.jpg --det_threshold worker=2", "'worker=2' isn't a valid detector score"),
        ("predict a.jpg --det_threshold a=0.1,a=0.2", "'a=0.1,a=0.2' isn't a valid"),
        ("predict a.jpg --det_threshold a=0.1,0.2", "such as worker=0.4,visitor=0.6"),
        ("models install DIR --classes ,", "expected a list of classes: labels, or ids from 0"),
        (
            "predict a.jpg --draw boxes,hats",
            "'hats' is an unknown value; choose from boxes, scores, ids",
        ),
        ("predict a.jpg --threshold 0.5", "arguments: --threshold 0.5: did you mean --det_thresh"),
        ("predict a.jpg --det-tresh=0.5", "--det-tresh=0.5: did you mean --det_threshold? (see "),
        ("predict a.jpg -o 0.5", "unrecognized arguments: -o 0.5 (see tritonpose predict --help)"),
        ("--inptu a.jpg", "unrecognized arguments: --inptu: did you mean --input?"),
        ("serve --prot 80", "unrecognized arguments: --prot 80: did you mean --port?"),
        ("serve --port 70000", "'70000' isn't a valid port: expected 1 to 65535"),
        ("serve --grpc_port none", "'none' isn't a valid port"),
        ("serve photo.jpg", "unrecognized arguments: photo.jpg"),
        ("config a b", "unrecognized arguments: b"),
        ("serve --limit max_in_flight=2.5", "max_in_flight must be a whole number, got '2.5'"),
        ("serve --limit speed=9", "'speed' is an unknown limit; choose from max_connections, "),
        ("serve --limit workers=0", "workers must be a positive number, got '0'"),
        ("serve --limit workers", "workers must be a positive number, got ''"),
        ("serve --image_urls ftp", "invalid choice: 'ftp'"),
        ("models", "the following arguments are required: ACTION"),
        ("predict a.jpg --api_key secret --ca_file f", "--api_key, --ca_file without --url"),
        ("batch photos", "the following arguments are required: --output"),
        ("batch --output out", "the following arguments are required: INPUT"),
        ("batch photos --output out --shard_size 0", "'0': expected a whole number from 1"),
        ("batch photos --output out --workers two", "'two': expected a whole number from 1"),
        ("batch photos --output out --timeout inf", "'inf': expected a positive number of seconds"),
        ("batch a --output out --api_key secret --ca_file f", "--api_key, --ca_file without --url"),
        ("batch photos --output out --det_threshold 2", "'2' isn't a valid detector score"),
    ],
)
def test_wrong_usage_is_reported_in_one_line(
    line: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    assert words in error_line(capsys)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("predict . --pipeline OCR", "expected 'human_keypoint_detection'"),
        ("predict . --pipeline a.jpg", "tritonpose serves, or a file that ends in .yaml or .yml"),
        ("predict . --device npu:0", "models run on CPUs and NVIDIA GPUs here"),
        ("predict . --device cuda", "expected cpu, gpu, gpu:0 or gpu:0,1"),
        ("predict a.jpg --url server:8001", "url='server:8001'"),
        ("--serve --pipeline no.yaml", "can't read the pipeline file 'no.yaml'"),
        ("serve --tuning no.yaml", "can't read the tuning file 'no.yaml': No such file"),
        ("serve --device xpu", "models run on CPUs and NVIDIA GPUs here"),
        ("serve --grpc_port 8080", "--port and --grpc_port are both 8080: each needs its own port"),
        ("serve --http_port=9 --metrics_port=9", "--http_port and --metrics_port are both 9"),
        ("serve --port 8002 --host 0.0.0.0", "--port and --metrics_port are both 8002"),
        ("serve --cert_file /nowhere/c", "cert_file and key_file belong together"),
        ("serve --cert_file /no/c --key_file /no/k", "cert_file='/no/c': No such file"),
        ("--get_pipeline_config OCR", "unknown pipeline 'OCR'"),
        ("batch a.jpg --output no/out --url ftp://a:1", "url='ftp://a:1': expected grpc://"),
    ],
)
def test_wrong_settings_are_reported_before_anything_is_started(
    line: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    assert words in error_line(capsys)
    assert not Path("no").exists()


@pytest.mark.parametrize("command", ["predict", "track"])
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("no/x.mp4", ""),
        ("~/no.mp4", "; ~ is expanded by shells only, where it isn't quoted"),
        ("no/*.mp4", "; patterns are expanded by shells only, where they aren't quoted"),
    ],
)
def test_misspelled_inputs_are_reported_at_once(
    command: str, name: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, name]) == 1
    assert error_line(capsys) == f"error: no such file or directory: {name!r}{hint}\n"


def test_a_misspelled_input_of_a_job_is_reported_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing, output = str(tmp_path / "photoz"), tmp_path / "out"
    assert main(["batch", missing, "--output", str(output)]) == 1
    assert f"no such file or directory, and no match: {missing!r}" in error_line(capsys)
    assert not output.exists()


def test_options_may_have_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    for line in (
        "predict a.jpg --det-threshold=1.5",
        "--input a.jpg --det-threshold 1.5",
        "batch a.jpg --output out --det-threshold 1.5",
    ):
        with pytest.raises(SystemExit):
            main(line.split())
        assert "'1.5' isn't a valid detector score" in error_line(capsys)
    with pytest.raises(SystemExit):
        main(["serve", "--grpc-port", "none"])
    assert "--grpc_port: 'none' isn't a valid port" in error_line(capsys)


@pytest.mark.parametrize(
    "line",
    [
        "predict -- -x.jpg --json",
        "predict --json -- -x.jpg --json",
        "predict -- -x.jpg --url grpc://a:1",
    ],
)
def test_names_that_begin_with_a_dash(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRITONPOSE_URL", raising=False)
    assert main(line.split()) == 1
    names = line.partition(" -- ")[2].split()
    errors = capsys.readouterr().err.splitlines()
    assert [error.split("'")[1] for error in errors] == names


def test_a_job_takes_names_that_begin_with_a_dash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["batch", "--output", str(tmp_path / "out"), "--", "-no.jpg"]) == 1
    assert "no such file or directory, and no match: '-no.jpg'" in error_line(capsys)


def test_nothing_is_printed_before_an_error_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for line in (
        "predict . --use_hpip --pipeline no.yaml --url grpc://a:1",
        "serve --use_hpip --engine x --pipeline no.yaml",
        "predict . --use_hpip --save_path out.mp3",
    ):
        assert main(line.split()) == 2
        error_line(capsys)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5", 0.5),
        ("工人=0.25, 1=1", {"工人": 0.25, "1": 1.0}),
        ("a=b=0.5", {"a=b": 0.5}),
        ('{"a, b": 0.5}', {"a, b": 0.5}),
    ],
)
def test_thresholds_by_class(text: str, expected: object) -> None:
    assert threshold(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2,3,4", [[1, 2, 3, 4]]),
        ("1, 2.5,3,4 ,-5,6,7,8e2", [[1, 2.5, 3, 4], [-5, 6, 7, 800]]),
    ],
)
def test_boxes(text: str, expected: list) -> None:
    assert boxes(text) == expected


@pytest.mark.parametrize(
    "content", [[[1, 2, 3, 4]], [], [[[1, 2, 3, 4]], None, []], {"a.jpg": [[1, 2, 3, 4]], "b": []}]
)
def test_boxes_in_a_file(content: object, tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(content))
    assert boxes(str(path)) == content


def test_a_region() -> None:
    assert region("0,0, 640,0,640,360.5") == [[0, 0], [640, 0], [640, 360.5]]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--boxes 1,2,3", "--boxes: 3 numbers: expected x1,y1,x2,y2 of each box"),
        ("--boxes 3,2,1,4", "--boxes: boxes must have x1 < x2"),
        ("--boxes 1,2,3,nan", "box 0 is [1.0, 2.0, 3.0, nan]"),
        ("--boxes missing.json", "or a JSON file: No such file or directory"),
        ("--boxes .", "or a JSON file: Is a directory"),
        ("--boxes text", "'text' isn't a JSON file"),
        ("--boxes wrong", "boxes['a.jpg'] must be float32 [N, 4]"),
        ("--roi 0,0,1,1,2", "isn't a polygon: expected x,y of each corner"),
        ("--roi left", "'left' isn't a polygon"),
        ("--roi 0,0,1,1", "--roi: roi must be a polygon of 3 to 1000 corners, got 2"),
        ("--roi 0,0,1,1,2,2", "--roi: roi must have an area"),
    ],
)
def test_boxes_and_regions_that_are_wrong(
    line: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("1 2 3 4")
    Path("wrong").write_text('{"a.jpg": [[1, 2, 3]]}')
    with pytest.raises(SystemExit) as ended:
        main(["predict", "a.jpg", *line.split()])
    assert ended.value.code == 2
    assert words in error_line(capsys)


def test_boxes_beside_names_like_options() -> None:
    parser = command_parser("predict", "INPUT", "", "")
    add_options(parser)
    words = ["--boxes", "1,2,3,4", "--roi", "0,0,9,0,9,9", "--", "-x.jpg"]
    options = parser.parse_intermixed_args(words)
    assert options.inputs == ["-x.jpg"]
    assert (options.boxes, options.roi) == ([[1, 2, 3, 4]], [[0, 0], [9, 0], [9, 9]])


class Direct(Parser):
    """Parses as the argparse does that takes inputs and options in any order by itself."""

    parse_known_args = argparse.ArgumentParser.parse_known_args


@pytest.mark.parametrize("kind", [Parser, Direct])
def test_dashes_in_options_between_inputs(kind: type[Parser]) -> None:
    parser = kind()
    add_options(parser)
    words = ["a.jpg", "--save-path", "out", "b.jpg", "--det-threshold=0.4", "--", "--save-path"]
    options = parser.parse_intermixed_args(words)
    assert options.inputs == ["a.jpg", "b.jpg", "--save-path"]
    assert (options.save_path, options.det_threshold) == ("out", 0.4)
