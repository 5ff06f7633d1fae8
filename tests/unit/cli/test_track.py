"""What ``tritonpose track`` says, prints and writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest

from poses import tracked_result
from terminal import Terminal
from tritonpose import InputError, KeypointResult
from tritonpose.cli import main
from tritonpose.cli.signals import ending_by_signals
from tritonpose.cli.track_files import TRACK_FILES, TrackFiles, files_in_directory, track_file_kind
from tritonpose.cli.track_output import SourceOutput, TrackOutput
from tritonpose.drawing.trails import Trails
from tritonpose.errors import ConfigError, TritonPoseError
from tritonpose.saving import TakenNames
from tritonpose.tracking import TrackedResult

SIZE = (48, 64)


def frame(number: int, source: int = 0, ids: Iterable[int | None] = (1, 2)) -> TrackedResult:
    result = tracked_result(list(ids), number, size=SIZE)
    result.source_index = source
    return result


def failure(message: str, source: int = 0) -> TrackedResult:
    result = TrackedResult(KeypointResult("x", error=InputError(message)), None, (), 0, "x")
    result.source_index = source
    return result


def outputs(directory: Path | None, *names: str) -> list[SourceOutput]:
    taken = TakenNames()
    made = []
    for name in names:
        saved = TrackFiles({})
        if directory is not None:
            saved = files_in_directory(str(directory), name, TRACK_FILES, taken)
        made.append(SourceOutput(name, saved, Trails()))
    return made


def write(
    results: Iterable[TrackedResult], sources: list[SourceOutput], *, json_lines: bool = False
) -> int:
    draw = frozenset(("boxes", "ids", "trails"))
    return TrackOutput(sources, json_lines=json_lines, draw=draw, preview=None).write_all(results)


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def frames_of(video: Path) -> list[float]:
    with av.open(str(video)) as container:
        return [float(each.time or 0) for each in container.decode(video=0)]


ALL = {"_res.mp4", "_res.jsonl", "_coco.json", "_posetrack.json", "_mot.txt"}


def test_all_files_of_two_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = [frame(0, 0), frame(0, 1, [7]), frame(1, 0), frame(3, 1, [7, None])]
    assert write(results, outputs(tmp_path, "a/clip.mp4", "b/clip.avi")) == 0
    assert files(tmp_path) == {f"{stem}{end}" for stem in ("clip", "clip_2") for end in ALL}
    lines = (tmp_path / "clip_res.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [r.json["res"] for r in (results[0], results[2])]
    mot = (tmp_path / "clip_mot.txt").read_text().splitlines()
    assert [len(line.split(",")) for line in mot] == [10] * 4
    for kind in ("coco", "posetrack"):
        told = json.loads((tmp_path / f"clip_2_{kind}.json").read_text())
        assert [image["frame_index"] for image in told["images"]] == [0, 3]
        assert [person["track_id"] for person in told["annotations"]] == [7, 7]
        assert [person["id"] for person in told["annotations"]] == [1, 2]
        assert len(told["categories"]) == 1
    assert frames_of(tmp_path / "clip_2_res.mp4") == pytest.approx([0, 0.3])
    printed = capsys.readouterr()
    assert printed.out == ""
    first, second = printed.err.splitlines()
    assert first.startswith("[tritonpose] a/clip.mp4: 2 people in 2 frames, ")
    assert second.startswith("[tritonpose] b/clip.avi: 1 person in 2 frames, ")
    assert second.endswith(f" frames/s; 2 dropped; saved to {tmp_path}/clip_2_*")


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert write([frame(0), frame(1)], outputs(None, "clip.mp4"), json_lines=True) == 0
    printed = capsys.readouterr()
    first, second = map(json.loads, printed.out.splitlines())
    assert (first["frame_index"], second["timestamp"]) == (0, 0.1)
    assert [box["track_id"] for box in second["boxes"]] == [1, 2]
    assert "saved" not in printed.err


def test_what_shows_no_picture_decodes_none(tmp_path: Path) -> None:
    result = frame(0)
    result["input_img"] = partial(pytest.fail, "decoded")
    source = SourceOutput("clip.mp4", TrackFiles({"mot": tmp_path / "mot.txt"}), Trails())
    assert write([result], [source], json_lines=True) == 0
    assert files(tmp_path) == {"mot.txt"}


def test_one_error_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    away = [failure("nobody is there")] * 3
    results = [frame(0), *away, failure("nobody is there", 1), frame(4), *away]
    assert write(results, outputs(tmp_path, "clip.mp4", "b.mp4")) == 1
    *errors, first, second = capsys.readouterr().err.splitlines()
    assert errors == ["error: nobody is there"] * 3
    assert first.endswith(f"; 6 failed; saved to {tmp_path}/clip_*")
    assert second.startswith("[tritonpose] b.mp4: 0 people in 0 frames, ")
    assert second.endswith("; 1 failed")
    assert len(frames_of(tmp_path / "clip_res.mp4")) == 2
    assert files(tmp_path) == {f"clip{end}" for end in ALL}


def ending(error: BaseException) -> Iterator[TrackedResult]:
    yield frame(0)
    yield frame(1)
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BrokenPipeError(), RuntimeError("closed")])
def test_what_ends_early_keeps_what_is_there(
    tmp_path: Path, error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(type(error)):
        write(ending(error), outputs(tmp_path, "clip.mp4"))
    assert files(tmp_path) == {f"clip{end}" for end in ALL}
    assert len(frames_of(tmp_path / "clip_res.mp4")) == 2
    assert len(json.loads((tmp_path / "clip_coco.json").read_text())["annotations"]) == 4
    assert capsys.readouterr().err.endswith(f"; saved to {tmp_path}/clip_*\n")


class StoppedAgain(TrackFiles):
    """Files while whose end the user presses Ctrl-C again."""

    def close(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        super().close()


def test_a_second_ctrl_c_costs_nothing(tmp_path: Path) -> None:
    paths = {kind: tmp_path / f"{kind}.mp4" for kind in TRACK_FILES}
    source = SourceOutput("clip.mp4", StoppedAgain(paths), None)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        write(ending(KeyboardInterrupt()), [source])
    assert signal.getsignal(signal.SIGINT) is handler
    assert files(tmp_path) == {f"{kind}.mp4" for kind in TRACK_FILES}
    assert len(frames_of(tmp_path / "video.mp4")) == 2


@pytest.mark.parametrize("ending_signal", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_that_end_it(ending_signal: signal.Signals) -> None:
    before = signal.getsignal(ending_signal)
    with pytest.raises(KeyboardInterrupt), ending_by_signals():
        os.kill(os.getpid(), ending_signal)
    assert signal.getsignal(ending_signal) is before


def test_a_place_that_can_not_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(TritonPoseError, match=r"can't save to '.*clip_res\.\w+': "):
        write([frame(0)], outputs(tmp_path / "out", "clip.mp4"))
    assert "saved" not in capsys.readouterr().err


FULL = """
import resource, signal, sys
sys.path[:0] = {paths!r}
from test_track import frame, outputs, write
from pathlib import Path
from tritonpose import TritonPoseError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
try:
    write((frame(number, ids=range(50)) for number in range(40)), outputs(Path({to!r}), "clip"))
except TritonPoseError as error:
    print(error)
"""


def test_a_full_disk(tmp_path: Path) -> None:
    """Files that fit are whole, the others are not there."""
    program = FULL.format(paths=[str(Path(__file__).parent), *sys.path], to=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("can't save to ")
    assert done.stdout.endswith(": File too large\n")
    left = files(tmp_path)
    assert left < {f"clip{end}" for end in ALL}
    assert "clip_mot.txt" in left
    for line in (tmp_path / "clip_mot.txt").read_text().splitlines():
        assert len(line.split(",")) == 10


@pytest.mark.parametrize(
    ("source", "stem"),
    [
        ("clips/a b.mp4", "a b"),
        ("0", "0"),
        ("/dev/video0", "video0"),
        ("rtsp://me:secret@camera:554/stream1?token=secret", "stream1"),
        ("http://camera/live/index.m3u8?key=secret", "index"),
        ("rtsp://me:secret@camera", "camera"),
        ("rtsp://10.0.0.5:554", "10.0.0.5_554"),
        ("rtsp://10.0.0.5/", "10.0.0.5"),
    ],
)
def test_names_of_files(source: str, stem: str) -> None:
    taken = TakenNames()
    saved = files_in_directory("out", source, ("json",), taken)
    assert saved.place == f"out/{stem}_*"
    assert files_in_directory("out", source, ("json",), taken).place == f"out/{stem}_2_*"


@pytest.mark.parametrize(
    ("save_path", "kind"),
    [
        ("out", None),
        ("out.mp4/", None),
        ("2026.11.28", None),
        ("a.mp4", "video"),
        ("a.MKV", "video"),
        ("a.jsonl", "json"),
        ("a.json", "coco"),
        ("a.txt", "mot"),
    ],
)
def test_what_a_path_means(save_path: str, kind: str | None) -> None:
    assert track_file_kind(save_path) == kind


@pytest.mark.parametrize("save_path", ["a.avi", "a.webm", "a.jpg", "a.csv", "a.gif"])
def test_other_files_are_refused(save_path: str) -> None:
    with pytest.raises(ConfigError, match=r"name a directory, or a file that ends in \.mp4"):
        track_file_kind(save_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "name a source: a video, a camera or an address of a stream"),
        ("a.mp4 b.mp4 --save_path o.mp4", "--save_path o.mp4 is a file, which holds one source"),
        ("a.mp4 --save-path a.avi", "can't save to 'a.avi': name a directory"),
        ("a.mp4 --save_path ", "the path to save to is empty"),
        ("there.mp4 --save_path ./there.mp4", "--save_path ./there.mp4 is the source itself"),
        ("a.mp4 --save mot", "--save is about the files in a directory"),
        ("a.mp4 --save pdf --save_path o", "'pdf' is an unknown value; choose from video, json"),
        ("a.mp4 --draw hats", "'hats' is an unknown value; choose from boxes, scores, ids, trails"),
        ("a.mp4 --det_interval 0", "'0': expected a whole number from 1"),
        ("a.mp4 --det-interval often", "'often': expected a whole number from 1"),
        ("a.mp4 --smooth much", "invalid choice: 'much'"),
        ("a.mp4 --roi 1,2", "--roi: "),
        ("a.mp4 --api_key k", "--api_key without --url"),
        (". --save_path out", "'.' is a directory"),
        ("a.mp4 ftp://me:secret@host/a.mp4", "ftp:// addresses aren't read"),
        ("0 --smooth offline", "--smooth offline is for recordings, which end; '0' has no end"),
        ("a.mp4 --nonsense", "unrecognized arguments: --nonsense"),
    ],
)
def test_usage_errors_come_alone(
    line: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRITONPOSE_URL", raising=False)
    (tmp_path / "there.mp4").touch()
    try:
        status = main(["track", *(line.split(" ") if line else [])])
    except SystemExit as ended:
        status = int(str(ended.code))
    assert status == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert "secret" not in printed.err
    assert len(printed.err.splitlines()) == 1
    assert files(tmp_path) == {"there.mp4"}


def test_names_that_mean_nothing_load_no_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["track", "clip.mp4", "/dev/video998", "--save_path", "out"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        "error: no such file or directory: 'clip.mp4'\n"
        "error: no such file or directory: '/dev/video998'\n"
    )
    assert files(tmp_path) == set()


def test_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    write([frame(0), frame(1)], outputs(None, "clip.mp4"))
    assert "2frame" in stream.getvalue()


def test_no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    from tritonpose.cli.preview import Preview

    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(RuntimeError, match=r"there is no screen \(|no tkinter \("):
        Preview()


def test_what_is_drawn_is_shown_in_the_video(tmp_path: Path) -> None:
    write([frame(0, ids=[1])], outputs(tmp_path, "clip.mp4"))
    with av.open(str(tmp_path / "clip_res.mp4")) as container:
        (shown,) = (each.to_ndarray(format="bgr24") for each in container.decode(video=0))
    expected = frame(0, ids=[1]).draw(boxes=True, ids=True)
    assert np.abs(shown.astype(int) - expected).mean() < 3
