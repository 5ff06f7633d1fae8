"""``tritonpose predict`` and PaddleX's flags as a program, against a real server."""

from __future__ import annotations

import ast
import json
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from command_line import COMMAND, environment, run
from tritonpose import create_pipeline
from tritonpose.inputs.videos import decode_video
from tritonpose_server.embedded.device import count_gpus
from tritonpose_server.embedded.server import EmbeddedServer
from videos import write_video

PIPELINE = "human_keypoint_detection"
GUIDE = ["--pipeline", PIPELINE, "--input", "photo.jpg", "--det_threshold", "0.5"]


@pytest.fixture
def desk(tmp_path: Path, photo: Path) -> Path:
    """A directory to work in, with a photo of two people, one of them above 0.5."""
    shutil.copy(photo, tmp_path / "photo.jpg")
    return tmp_path


def lines_of_json(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_guides_command_line_where_no_server_runs(desk: Path) -> None:
    done = run(desk, *GUIDE, "--save_path", "./output/", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{'res': {'input_path': 'photo.jpg', 'boxes': [{'coordinate': [")
    assert done.stdout.endswith("}]}}\n")
    assert "NanoDet_person_416 (open model" in done.stderr
    saved = json.loads((desk / "output" / "photo_res.json").read_text())
    assert saved["input_path"] == "photo.jpg"
    assert len(saved["boxes"]) == 1
    drawn, plain = (cv2.imread(str(desk / name)) for name in ("output/photo_res.jpg", "photo.jpg"))
    assert cv2.absdiff(drawn, plain).max() > 100


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_both_forms_save_what_the_python_client_saves(
    desk: Path, server: EmbeddedServer, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.grpc_url if scheme == "grpc" else server.http_url
    monkeypatch.chdir(desk)
    with create_pipeline(PIPELINE, url=url) as pipeline:
        for result in pipeline.predict("photo.jpg", det_threshold=0.5):
            result.save_all("python")
    flags = run(desk, *GUIDE, "--save_path", "flags", "--url", url)
    command = run(
        desk,
        "predict",
        "--det_threshold=0.5",
        "photo.jpg",
        "--save_path=command",
        TRITONPOSE_URL=url,
    )
    assert (flags.returncode, command.returncode) == (0, 0), flags.stderr + command.stderr
    assert flags.stdout == command.stdout
    for name in ("photo_res.json", "photo_res.jpg"):
        expected = (desk / "python" / name).read_bytes()
        assert (desk / "flags" / name).read_bytes() == expected
        assert (desk / "command" / name).read_bytes() == expected


def test_standard_output_holds_results_only(desk: Path, server: EmbeddedServer) -> None:
    (desk / "a b").mkdir()
    shutil.move(desk / "photo.jpg", desk / "a b" / "zwei Läufer.jpg")
    (desk / "a b" / "text.png").write_text("just some text")
    (desk / "empty").mkdir()
    inputs = ["missing.jpg", "a b", "empty"]
    done = run(desk, "predict", *inputs, "--json", "--save_path", "größe", "--url", server.grpc_url)
    assert done.returncode == 1
    (result,) = lines_of_json(done.stdout)
    assert result["input_path"] == "a b/zwei Läufer.jpg"
    assert len(result["boxes"]) == 2
    assert result == json.loads((desk / "größe" / "zwei Läufer_res.json").read_text("utf-8"))
    assert (desk / "größe" / "zwei Läufer_res.jpg").exists()
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 3
    assert "no such file or directory: 'missing.jpg'" in errors[0]
    assert "'a b/text.png' looks like text" in errors[1]
    assert "no images in the directory 'empty'" in errors[2]
    assert "2 people in 1 image" in done.stderr
    assert "3 failed" in done.stderr
    assert "Traceback" not in done.stderr


def test_drawing(desk: Path, server: EmbeddedServer) -> None:
    for arguments in (["plain.png"], ["boxed.png", "--draw", "boxes,scores"], ["alone.json"]):
        done = run(
            desk, "predict", "photo.jpg", "--url", server.grpc_url, "--save_path", *arguments
        )
        assert done.returncode == 0, done.stderr
    boxes = json.loads((desk / "alone.json").read_text())["boxes"]
    plain, boxed = (cv2.imread(str(desk / name)) for name in ("plain.png", "boxed.png"))
    changed = cv2.absdiff(plain, boxed).any(axis=2)
    for left, top, _, bottom in (map(round, box["coordinate"]) for box in boxes):
        assert changed[top:bottom, left - 3 : left + 4].any(axis=1).mean() > 0.9


def test_a_reader_that_goes_away(desk: Path, server: EmbeddedServer) -> None:
    inputs = ["photo.jpg"] * 40
    done = subprocess.run(
        f"'{COMMAND}' predict {' '.join(inputs)} --json --url {server.grpc_url} | head -n 1",
        shell=True,
        cwd=desk,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert len(lines_of_json(done.stdout)) == 1
    assert done.stderr == ""


def test_ctrl_c(desk: Path, server: EmbeddedServer) -> None:
    with subprocess.Popen(
        [COMMAND, "predict", *["photo.jpg"] * 500, "--json", "--url", server.grpc_url],
        cwd=desk,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert json.loads(program.stdout.readline())
        program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=60)
        assert (program.returncode, errors) == (130, "")


def test_no_server(desk: Path) -> None:
    done = run(desk, *GUIDE, "--device", "gpu:0", TRITONPOSE_URL="grpc://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stdout == ""
    warning = "--device has no effect: the server at grpc://127.0.0.1:9 has its own"
    first, error, summary = done.stderr.splitlines()
    assert warning in first
    assert error.startswith("error: ")
    assert "127.0.0.1:9" in error
    assert "0 people in 0 images" in summary


def test_standard_input_and_a_pipe(desk: Path, server: EmbeddedServer) -> None:
    write_video(desk / "clip.mp4", [np.zeros((64, 64, 3), np.uint8)] * 3)
    line = [*("predict", "--json", "-", "--url", server.grpc_url), "--save_path", "out"]
    for name in ("photo.jpg", "clip.mp4"):
        # Not the file itself, which could be read twice.
        with subprocess.Popen(["cat", name], cwd=desk, stdout=subprocess.PIPE) as cat:
            done = run(desk, *line, stdin=cat.stdout)
        assert done.returncode == 0, done.stderr
        results = lines_of_json(done.stdout)
        assert {result["input_path"] for result in results} == {"/dev/stdin"}
        people = [len(result["boxes"]) for result in results]
        assert people == ([2] if name == "photo.jpg" else [0, 0, 0])
    assert len(list((desk / "out").glob("stdin_frame*_res.json"))) == 3


def test_names_that_mean_nothing_load_no_models(tmp_path: Path) -> None:
    done = run(tmp_path, "predict", "foto.jpg", "clip.mp4", "file:///no/a.jpg", "rtsp://camera/1")
    assert done.returncode == 1
    assert done.stderr == (
        "error: no such file or directory: 'foto.jpg'\n"
        "error: no such file or directory: 'clip.mp4'\n"
        "error: no such file or directory: '/no/a.jpg'\n"
        "error: 'rtsp://camera/1' is the address of a live stream; predict is for images; "
        "pipeline.track, or `tritonpose track`, reads cameras and streams\n"
    )


def test_strict_models_load_no_stand_in(desk: Path) -> None:
    """Nothing can be fetched through a proxy that isn't there."""
    proxies = {f"{scheme}_PROXY": "http://127.0.0.1:9" for scheme in ("HTTP", "HTTPS", "ALL")}
    home = str(desk / "home")
    done = run(desk, *GUIDE, "--strict_models", TRITONPOSE_HOME=home, NO_PROXY="", **proxies)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "PP-YOLOE-S_human" in done.stderr
    assert "No open model stands in" in done.stderr
    assert "detector model:" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(count_gpus() > 0, reason="this machine has a GPU")
def test_a_gpu_that_is_not_there(desk: Path) -> None:
    done = run(desk, *GUIDE, "--device", "gpu:0")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: no NVIDIA GPU is visible here")
    assert done.stderr.count("\n") == 1


def test_a_pipeline_file_and_what_it_asks_of_a_server(desk: Path, server: EmbeddedServer) -> None:
    """The file that the command writes, with a threshold and a model directory put in."""
    assert run(desk, "--get_pipeline_config", PIPELINE, "--save_path", "my_path").returncode == 0
    file = desk / "my_path" / f"{PIPELINE}.yaml"
    text = file.read_text().replace("threshold: null", "threshold: 0.5", 1)
    file.write_text(text.replace("model_dir: null", "model_dir: mine"))
    done = run(
        desk, "--pipeline", str(file), "--input", "photo.jpg", "--json", "--url", server.grpc_url
    )
    assert done.returncode == 0, done.stderr
    (result,) = lines_of_json(done.stdout)
    assert len(result["boxes"]) == 1
    assert "warning: ObjectDetection.model_dir, KeypointDetection.model_dir: this takes" in (
        done.stderr
    )
    assert "UserWarning" not in done.stderr


def test_people_found_elsewhere_and_a_region(desk: Path, server: EmbeddedServer) -> None:
    def boxes(*options: str) -> list:
        done = run(desk, "predict", "photo.jpg", "--json", "--url", server.grpc_url, *options)
        assert done.returncode == 0, done.stderr
        (result,) = lines_of_json(done.stdout)
        return [person["coordinate"] for person in result["boxes"]]

    given = [[100, 200, 300, 600.5], [10, 20, 90, 80]]
    assert boxes("--boxes", "100,200,300,600.5,10,20,90,80") == given
    (desk / "boxes.json").write_text(json.dumps({"photo.jpg": given}))
    assert boxes("--boxes", "boxes.json") == given
    assert boxes("--boxes", "boxes.json", "--roi", "0,0,90,0,90,90,0,90") == given[1:]
    done = run(
        desk, "predict", "photo.jpg", "photo.jpg", "--boxes", "1,2,3,4", "--url", server.grpc_url
    )
    assert done.returncode == 2
    assert "error: boxes are of 1 image, but there are more" in done.stderr


def test_what_is_printed_is_python_and_nothing_is_saved(desk: Path, server: EmbeddedServer) -> None:
    done = run(desk, *GUIDE, "--det_threshold", "0.99", "--url", server.grpc_url)
    assert ast.literal_eval(done.stdout) == {"res": {"input_path": "photo.jpg", "boxes": []}}
    assert [path.name for path in desk.iterdir()] == ["photo.jpg"]


@pytest.fixture
def clip(desk: Path) -> Path:
    """Two people whom the camera passes, in frames of uneven times and an odd size."""
    image = cv2.imread(str(desk / "photo.jpg"))
    width = image.shape[1]
    frames = [
        cv2.warpAffine(
            image, np.array([[1, 0, 4.0 * step], [0, 1, 0]]), (width - 1, image.shape[0] - 1)
        )
        for step in range(8)
    ]
    times = [0, 0.1, 0.15, 0.4, 0.5, 0.55, 1, 1.1]
    return write_video(desk / "clip.mkv", frames, times=times)


def test_tracks_in_all_kinds_of_files(desk: Path, clip: Path, server: EmbeddedServer) -> None:
    options = ("--url", server.grpc_url, "--det_threshold", "0.2", "--save-path", "out")
    done = run(desk, "track", clip.name, clip.name, *options, "--smooth", "off", "--json")
    assert done.returncode == 0, done.stderr
    assert len(lines_of_json(done.stdout)) == 16
    for stem in ("clip", "clip_2"):
        lines = lines_of_json((desk / "out" / f"{stem}_res.jsonl").read_text())
        assert [line["timestamp"] for line in lines] == [0, 0.1, 0.15, 0.4, 0.5, 0.55, 1, 1.1]
        seen: list[tuple[int, int, np.ndarray]] = [
            (line["frame_index"], box["track_id"], np.array(box["coordinate"], np.float32))
            for line in lines
            for box in line["boxes"]
            if box["track_id"] is not None
        ]
        assert {1, 2} <= {number for _, number, _ in seen}
        # Each keeps the id: nobody jumps from frame to frame.
        for wanted in (1, 2):
            ways = [box[0] for _, number, box in seen if number == wanted]
            assert len(ways) >= 7
            assert np.abs(np.diff(ways)).max() < 40
        mot = np.loadtxt(desk / "out" / f"{stem}_mot.txt", delimiter=",", ndmin=2)
        for row, (index, number, box) in zip(mot, seen, strict=True):
            assert row[:2].tolist() == [index + 1, number]
            assert row[2:6].tolist() == pytest.approx([*box[:2], *(box[2:] - box[:2])], abs=0.01)
        for kind in ("coco", "posetrack"):
            told = json.loads((desk / "out" / f"{stem}_{kind}.json").read_text())
            assert [person["track_id"] for person in told["annotations"]] == [n for _, n, _ in seen]
        with (desk / "out" / f"{stem}_res.mp4").open("rb") as file:
            shown = list(decode_video(file, stem))
        assert [frame.time for frame in shown] == pytest.approx(
            [0, 0.1, 0.15, 0.4, 0.5, 0.55, 1, 1.1], abs=1e-4
        )
    assert "clip.mkv: 2 people in 8 frames, " in done.stderr


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_tracking_that_is_stopped_leaves_a_video(
    desk: Path, server: EmbeddedServer, ending: signal.Signals
) -> None:
    write_video(desk / "long.mp4", [np.zeros((64, 64, 3), np.uint8)] * 3000)
    words = ["long.mp4", "--json", "--url", server.grpc_url, "--save_path", "seen.mp4"]
    with subprocess.Popen(
        [COMMAND, "track", *words],
        cwd=desk,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        for _ in range(5):
            assert json.loads(program.stdout.readline())
        program.send_signal(ending)
        _, errors = program.communicate(timeout=60)
        assert program.returncode == 130
    told = re.search(r"\] long\.mp4: 0 people in (\d+) frames, .*; saved to seen\.mp4\n", errors)
    assert told is not None
    with (desk / "seen.mp4").open("rb") as file:
        shown = list(decode_video(file, "seen.mp4"))
    assert 5 <= len(shown) < 3000
    # The last may have been told and not yet written.
    assert int(told[1]) - len(shown) in (0, 1)
