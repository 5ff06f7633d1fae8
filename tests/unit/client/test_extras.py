"""Missing packages: the extra that brings them, and how to install it."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path

import pytest

from tritonpose.extras import missing_extra

ROOT = Path(__file__).parents[3]
METADATA = """\
Metadata-Version: 2.4
Name: tritonpose
Version: 1.0
Requires-Dist: numpy>=1.26
Requires-Dist: httpcore>=1; extra == 'service'
Requires-Dist: python-json-logger>=3; extra == 'service'
Requires-Dist: httpcore>=1; extra == 'server'
Requires-Dist: python-json-logger>=3; extra == 'server'
Requires-Dist: nvidia-pytriton==0.7.0; (sys_platform == 'linux') and extra == 'server'
Requires-Dist: tqdm>=4; extra == 'server'
Requires-Dist: onnx>=1; extra == 'server'
Requires-Dist: onnx>=1; extra == 'models'
Requires-Dist: ray[data]>=2.49; extra == 'batch'
Requires-Dist: tqdm>=4; extra == 'batch'
Requires-Dist: opentelemetry-sdk>=1; extra == 'tracing'
Requires-Dist: opentelemetry-sdk>=1; extra == 'dev'
Requires-Dist: pytest>=8; extra == 'dev'
"""


def installed(folder: Path, origin: dict[str, object] | None = None) -> Distribution:
    (folder / "METADATA").write_text(METADATA)
    if origin is not None:
        (folder / "direct_url.json").write_text(json.dumps(origin))
    return PathDistribution(folder)


def missing(name: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize(
    ("module", "command", "extra"),
    [
        ("httpcore", "serve", "server"),
        ("pythonjsonlogger.json", "serve", "server"),
        ("onnx.checker", "models", "models"),
        ("onnx", "predict", "server"),
        ("tqdm", "batch", "batch"),
        ("ray", "batch", "batch"),
        ("opentelemetry", None, "tracing"),
    ],
)
def test_the_extra_is_named(tmp_path: Path, module: str, command: str, extra: str) -> None:
    sentence = missing_extra(missing(module), command, installed(tmp_path))
    assert sentence is not None
    assert sentence.startswith(f"{command or 'this'} needs the extra `{extra}`: pip install ")


@pytest.mark.parametrize("module", ["numpy", "cv2", "tritonpose_server.x", ""])
def test_no_extra_brings_it(tmp_path: Path, module: str) -> None:
    assert missing_extra(missing(module), "serve", installed(tmp_path)) is None


@pytest.mark.parametrize(
    ("place", "origin", "line"),
    [
        ("src/", {"dir_info": {"editable": True}}, "pip install --editable 'HERE/src[server]'"),
        ("src/", {"dir_info": {}}, "pip install 'HERE/src[server]'"),
        ("my src/", {"dir_info": {}}, "pip install 'HERE/my src[server]'"),
        ("a.whl", {"archive_info": {}}, "pip install 'tritonpose[server] @ file://HERE/a.whl'"),
        (
            None,
            {"url": "https://example.com/a.git", "vcs_info": {"vcs": "git", "commit_id": "1f"}},
            "pip install 'tritonpose[server] @ git+https://example.com/a.git@1f'",
        ),
        (
            None,
            {"url": "https://example.com/a.whl", "archive_info": {}},
            "pip install 'tritonpose[server] @ https://example.com/a.whl'",
        ),
    ],
)
def test_it_is_installed_from_where_the_project_came(
    tmp_path: Path, place: str | None, origin: dict[str, object], line: str
) -> None:
    if place is not None:
        source = tmp_path / place
        source.mkdir() if place.endswith("/") else source.touch()
        origin = {"url": source.as_uri(), **origin}
    sentence = missing_extra(missing("httpcore"), "serve", installed(tmp_path, origin))
    assert sentence == f"serve needs the extra `server`: {line}".replace("HERE", str(tmp_path))


@pytest.mark.parametrize("origin", [None, {"url": "file:///gone/src", "dir_info": {}}])
def test_packages_are_named_where_that_place_is_unknown(
    tmp_path: Path, origin: dict[str, object] | None
) -> None:
    """No index has the project under its name."""
    project = installed(tmp_path, origin)
    assert missing_extra(missing("ray"), "batch", project) == (
        "batch needs the extra `batch`: pip install 'ray[data]>=2.49' 'tqdm>=4'"
    )


def imported_modules(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module


@pytest.mark.parametrize("folder", ["client/tritonpose_batch", "server/tritonpose_server"])
def test_an_extra_brings_everything_imported(folder: str) -> None:
    """A module that is only a dependency of a dependency could not be named."""
    # What the client brings; and Paddle's, which has environments of its own, and the GPU's.
    others = {
        *("PIL", "aiohttp", "cv2", "google", "numpy", "tritonclient", "yaml"),
        *("paddle", "paddle2onnx", "tensorrt", "triton_python_backend_utils"),
    }
    modules = {name.partition(".")[0] for name in imported_modules(ROOT / folder)}
    modules -= {*others, *sys.stdlib_module_names}
    project = distribution("tritonpose")
    unknown = [
        name
        for name in sorted(modules)
        if not name.startswith("tritonpose") and missing_extra(missing(name), None, project) is None
    ]
    assert unknown == []
