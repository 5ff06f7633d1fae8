"""``tritonpose batch``: its command line, and errors before anything is started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tritonpose.cli import main


def errors(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("photos", "the following arguments are required: --output"),
        ("--output out", "the following arguments are required: INPUT"),
        ("photos --output out --shard_size 0", "'0': expected a whole number from 1"),
        ("photos --output out --workers two", "'two': expected a whole number from 1"),
        ("photos --output out --timeout inf", "'inf': expected a positive number of seconds"),
        ("photos --output out --api_key k --ca_file f", "--api_key, --ca_file without --url"),
        ("photos --output out --det_threshold 2", "'2' isn't a valid detector score"),
    ],
)
def test_wrong_usage(line: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["batch", *line.split()])
    assert ended.value.code == 2
    assert reason in errors(capsys)


def test_a_wrong_url_is_reported_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert main(["batch", "a.jpg", "--output", str(output), "--url", "ftp://a:1"]) == 2
    assert "url='ftp://a:1': expected grpc://" in errors(capsys)
    assert not output.exists()


def test_a_misspelled_input_is_reported_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    missing = str(tmp_path / "photoz")
    assert main(["batch", missing, "--output", str(output)]) == 1
    assert f"no such file or directory, and no match: {missing!r}" in errors(capsys)
    assert not output.exists()


@pytest.mark.parametrize("absent", ["ray", "pyarrow", "fsspec"])
def test_without_the_extra(
    absent: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Absent:
        def find_spec(self, name: str, *_: object) -> None:
            if name.partition(".")[0] == absent:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in [name for name in sys.modules if name.partition(".")[0] == absent]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    assert main(["batch", "a.jpg", "--output", str(tmp_path / "out")]) == 1
    assert "error: batch needs the extra `batch`: pip install " in errors(capsys)
    assert not (tmp_path / "out").exists()


def test_its_libraries_are_imported_when_it_runs() -> None:
    program = (
        "import sys; from tritonpose_batch.command import main; "
        "print({'ray', 'pyarrow', 'fsspec', 'tqdm'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
