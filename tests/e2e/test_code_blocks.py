"""The code blocks of the documents: what can run is run against a real server."""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from certificates import make_certificates
from command_line import COMMAND, Service, environment, serving
from documentation import Block, blocks, commands
from paddle_networks import detector_network, inference_yml, write_model_directory
from rest_service import free_port
from tritonpose_pipeline.keypoint_schema import KeypointSchema
from tritonpose_server.embedded.tuning import load_tuning
from videos import gray_frames, write_video

# Python blocks that are not run: what they contain, and why.
PYTHON_NOT_RUN = {
    "from paddlex": "PaddleX is not installed here",
    "import supervision": "tests/unit/client/test_supervision_export.py installs and runs it",
    "VideoCapture(0)": "there is no camera",
    'track(["rtsp://': "there is no camera",
    "run_rest(": "it runs until it is interrupted; tests/support/rest_service.py calls it",
}
# A command whose results other blocks read.
BATCH = "tritonpose batch photos/ clip.mp4 --output poses"
# Commands that are run as they are, by their beginning.
RUN = (
    "tritonpose predict",
    "tritonpose track clip.mp4",
    "tritonpose --pipeline",
    "tritonpose config",
    "tritonpose --get_pipeline_config",
    "tritonpose models list",
    "tritonpose models install path/",
    "tritonpose models install exported",
    "tritonpose models convert",
    "tritonpose models remove",
    "printf",
    "curl",
    "openssl",
    "export",
    "eval",
)
# What commands contain that are not run here, and why; their options must be in their `--help`.
OPTIONS_CHECKED = {
    "tritonpose serve": "the server of this test is one; tests/e2e/test_serve_command.py has more",
    "tritonpose --serve": "as `tritonpose serve`",
    "tritonpose models export": "tests/e2e/test_own_triton.py does it",
    "tritonpose models variant": "tests/e2e/test_precision_variants.py makes them",
    "tritonpose models fetch": "would fetch 60 MB; tests/unit/models/test_sources.py does it",
    "tritonpose models install PP": "as `tritonpose models fetch`",
    "tritonpose track 0": "there is no camera",
    "tritonpose track rtsp": "there is no camera",
    "scripts/demo": "tests/e2e/test_demo.py runs it",
    "scripts/soak": "tests/e2e/test_soak.py runs it",
    "scripts/benchmark": "tests/e2e/test_benchmark.py runs it",
    "scripts/evaluate": "tests/e2e/test_evaluate.py runs it",
    "scripts/fetch_models": "tests/e2e/test_model_repository.py runs it",
    "scripts/check_installs": "installs for an hour; the workflow `dependencies` runs it",
    "scripts/build_engines": "needs a GPU; tests/unit/models/test_tensorrt.py has checks",
    "scripts/gpu_check": "needs a GPU; tests/unit/tools/test_gpu_check.py has checks",
    "https://example.com": "leads elsewhere",
    "grpc://a:": "leads elsewhere",
    "/shared/": "needs storage that nodes share",
    "$TRITONPOSE_CONTROL_KEY": "tests/e2e/test_exposure.py does it",
    "$(cat keys)": "the server of this test requires no key; tests/e2e/test_rest_door.py does it",
}
# Commands that are neither run nor checked, and why.
NOT_RUN = {
    "docker": "needs a container engine; tests/unit/deployment has checks",
    "helm": "needs a cluster; tests/unit/deployment has checks",
    "kubectl": "needs a cluster; tests/unit/deployment has checks",
    "python3.12 -m venv": "would write to folders of the system",
    "install -m 600": "would write to folders of the system",
    "cp docker/systemd/": "needs systemd; tests/unit/deployment has checks",
    "pip": "would change the environment of the tests",
    "pipx": "would install pre-commit",
    "OTEL_EXPORTER_OTLP_ENDPOINT=": "tests/e2e/test_observability.py does it",
    "TRITONPOSE_TEST_": "takes long; run on demand",
    "scripts/test": "would run this test",
    ".venv/bin/python -m pytest": "would run this test",
    "tritonserver": "tests/e2e/test_own_triton.py starts one",
    "paddlex": "PaddleX is not installed here",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One server for all blocks."""
    with serving(tmp_path_factory.mktemp("log") / "serve.log", "serve") as running:
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, photo: Path) -> Path:
    """A directory with the files that the blocks name."""
    directory = tmp_path_factory.mktemp("files")
    for name in ("photo.jpg", "my_photo.jpg", "photos/a.jpg", "val2017/000000000139.jpg"):
        (directory / name).parent.mkdir(exist_ok=True)
        shutil.copy(photo, directory / name)
    write_video(directory / "clip.avi", gray_frames(3)).rename(directory / "clip.mp4")
    make_certificates(directory).ca.rename(directory / "authority.pem")
    labels = ["worker", "visitor"]
    for name, known in {"model": ["pedestrian"], "detector": labels}.items():
        write_model_directory(
            directory / "path" / "to" / name,
            detector_network(32, 48, classes=len(known)),
            inference_yml("detector", 32, 48, label_list=known),
        )
    with tarfile.open(directory / "exported.tar.gz", "w:gz") as archive:
        archive.add(directory / "path" / "to" / "model", "exported")
    return directory


@pytest.fixture
def desk(tmp_path: Path, files: Path) -> Path:
    """A copy of these files, in which a block runs."""
    return shutil.copytree(files, tmp_path, dirs_exist_ok=True)


@pytest.fixture(scope="module")
def finished_job(files: Path, tmp_path_factory: pytest.TempPathFactory, service: Service) -> Path:
    """The results of `BATCH`, which takes long."""
    desk = shutil.copytree(files, tmp_path_factory.mktemp("job"), dirs_exist_ok=True)
    run(BATCH.split(), desk, service)
    return desk / "poses"


def local(code: str, ports: list[int]) -> str:
    """Point addresses in a block at the test's server, and at nothing for a second one."""
    rest, grpc, http, metrics = ports
    known = {"8080": rest, "8001": grpc, "8000": http, "8002": metrics, "9001": free_port()}
    return re.sub(
        r"\b(localhost|127\.0\.0\.1):(\d{4})\b",
        lambda match: f"{match[1]}:{known.get(match[2], match[2])}",
        code,
    )


def run(arguments: list[str], desk: Path, service: Service, **variables: str) -> None:
    inherited = environment() | {
        "TRITONPOSE_URL": f"grpc://localhost:{service.ports[1]}",
        "POSE_API_KEY": "0123456789abcdef",
        **variables,
        "PATH": f"{Path(COMMAND).parent}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        arguments, cwd=desk, env=inherited, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python(block: Block, desk: Path, service: Service, finished_job: Path) -> None:
    if any(words in block.code for words in PYTHON_NOT_RUN):
        compile(block.code, block.place, "exec")
        return
    if "poses/poses" in block.code:
        (desk / "poses").symlink_to(finished_job)
    run([sys.executable, "-W", "error", "-c", local(block.code, service.ports)], desk, service)


def command_lines() -> list[tuple[str, str]]:
    lines = [(block.place, line) for block in blocks("bash") for line in commands(block)]
    return [(place, line.replace(".venv/bin/tritonpose", "tritonpose")) for place, line in lines]


@pytest.mark.parametrize(("place", "line"), command_lines())
def test_commands(place: str, line: str, desk: Path, service: Service, finished_job: Path) -> None:
    if line == BATCH:
        assert (finished_job / "poses").is_dir()
        return
    if line.startswith(tuple(NOT_RUN)):
        return
    if any(words in line for words in OPTIONS_CHECKED):
        if line.startswith(("tritonpose", "scripts/")):
            check_options(shlex.split(line))
        return
    assert line.startswith(RUN), f"{place}: neither run nor listed"
    variables = {}
    if line.startswith("tritonpose models ") and "list" not in line:
        variables["TRITONPOSE_HOME"] = str(desk / "home")
    if "models remove my-model" in line:
        install = "tritonpose models install path/to/model --name my-model"
        run(install.split(), desk, service, **variables)
    code = f"set -eo pipefail; {local(line, service.ports)}"
    run(["bash", "-c", code], desk, service, **variables)


def check_options(words: list[str]) -> None:
    """Check that a command has all options that a line gives it."""
    program, *rest = words
    subcommands = []
    if program == "tritonpose":
        paddlex = {"--serve": "serve", "--pipeline": "predict", "--get_pipeline_config": "config"}
        first = rest[0]
        subcommands = [paddlex.get(first, first)]
        rest = rest[1:] if first == "--serve" or first not in paddlex else rest
        if subcommands == ["models"]:
            subcommands.append(rest[0])
        shown = help_of(COMMAND, *subcommands)
    else:
        tools = {"evaluate": "evaluation", "check_installs": "installs"}
        name = Path(program).name
        subcommands = ["tracking"] if rest[:1] == ["tracking"] else []
        shown = help_of(sys.executable, "-m", f"tools.{tools.get(name, name)}", *subcommands)
    missing = [
        word for word in rest if word.startswith("--") and f"{word.split('=')[0]}" not in shown
    ]
    assert missing == []


@functools.cache
def help_of(*command: str) -> str:
    if command[-1] == "tools.build_engines":
        command = (*command[:-1], "tritonpose_server.models.tensorrt")
    done = subprocess.run(
        [*command, "--help"], env=environment(), capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml(block: Block, tmp_path: Path) -> None:
    content = yaml.safe_load(block.code)
    if "detector" in content:
        (tmp_path / "tuning.yaml").write_text(block.code)
        load_tuning(tmp_path / "tuning.yaml")
    if "Keypoints" in content:
        KeypointSchema.from_mapping(content["Keypoints"], "Keypoints")


def test_lists_name_only_what_there_is() -> None:
    """An entry that no block needs any more is removed."""
    code = "\n".join(block.code for block in blocks("python"))
    lines = [line for _, line in command_lines()]
    assert BATCH in lines
    assert [words for words in PYTHON_NOT_RUN if words not in code] == []
    for beginnings in (RUN, NOT_RUN):
        assert [each for each in beginnings if not any(x.startswith(each) for x in lines)] == []
    assert [each for each in OPTIONS_CHECKED if not any(each in x for x in lines)] == []
