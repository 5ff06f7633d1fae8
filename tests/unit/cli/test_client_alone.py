"""The command with the client alone: no server, no conversion, no progress bar."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXTRAS = [
    *("tritonpose_server", "tritonpose_server.service", "tritonpose_server.models"),
    *("fastapi", "httpx", "onnx", "onnxruntime", "openvino", "tqdm", "uvicorn"),
]
PROGRAM = """
import sys
from tritonpose.cli import main
try:
    status = main(sys.argv[1:])
except SystemExit as ended:
    status = ended.code
print()
print(*sys.modules)
sys.exit(status)
"""


@pytest.mark.parametrize(
    ("line", "status", "absent"),
    [
        ("--help", 0, [*EXTRAS, "cv2", "grpc", "numpy", "yaml"]),
        ("--version", 0, [*EXTRAS, "cv2", "grpc", "numpy", "yaml"]),
        ("predict missing.jpg", 1, EXTRAS),
        ("predict missing.jpg --json --url grpc://127.0.0.1:9", 1, EXTRAS),
        ("track missing.mp4 --save_path out", 1, EXTRAS),
        ("batch --help", 0, [*EXTRAS, "ray", "pyarrow", "fsspec"]),
        ("config --save_path /dev/null/x", 1, [*EXTRAS, "cv2", "grpc", "numpy"]),
    ],
)
def test_what_is_left_alone(line: str, status: int, absent: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *line.split()], capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    loaded = done.stdout.splitlines()[-1].split()
    assert "tritonpose.cli" in loaded
    assert [name for name in absent if name in loaded] == []


# As if only the client were installed: what the other extras bring can't be imported.
BLOCKED = """
import sys
from importlib.metadata import requires
from packaging.requirements import Requirement
class Absent:
    def find_spec(self, name, *_):
        plain = name.partition(".")[0].replace("_", "-").lower()
        if plain in absent - client:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
absent, client = set(), set()
def install(line):
    wanted = Requirement(line)
    name = wanted.name.replace("_", "-").lower()
    if name in client:
        return
    client.add(name)
    for each in map(Requirement, requires(name) or ()):
        if not each.marker or any(each.marker.evaluate({"extra": e}) for e in wanted.extras):
            install(str(each))
for line in requires("tritonpose"):
    if "extra ==" in line:
        absent.add(Requirement(line).name.replace("_", "-").lower())
    else:
        install(line)
sys.meta_path.insert(0, Absent())
from tritonpose.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("line", "extra"),
    [
        ("serve", "server"),
        ("serve --url grpc://127.0.0.1:9", "server"),
        ("predict {photo}", "server"),
        ("models list", "models"),
        ("batch {photo} --output {photo}-out", "batch"),
    ],
)
def test_a_command_names_its_extra(line: str, extra: str, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.touch()
    words = line.format(photo=photo).split()
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {words[0]} needs the extra `{extra}`: pip install ")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


@pytest.mark.parametrize("command", ["predict", "batch", "serve", "models", "config"])
def test_help_needs_no_extra(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, command, "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
