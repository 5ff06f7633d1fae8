"""Rules of the house that no linter checks: names, folders, sizes, what the wheel holds."""

from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
import zipfile
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIPELINE_MODEL = ROOT / "model_repository" / "human_keypoint_detection" / "1"
PACKAGES = {
    "tritonpose": ROOT / "client" / "tritonpose",
    "tritonpose_batch": ROOT / "client" / "tritonpose_batch",
    "tritonpose_pipeline": PIPELINE_MODEL / "tritonpose_pipeline",
    "tritonpose_server": ROOT / "server" / "tritonpose_server",
}
# Names that Triton, not the project, chooses.
TRITON_NAMES = {"TritonPythonModel"}


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--", *patterns], capture_output=True, check=True
    )
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.exists()]


def product() -> list[Path]:
    return tracked("client/*.py", "server/*.py", "model_repository/*.py")


def lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def test_classes_have_names_of_their_own() -> None:
    homes = defaultdict(list)
    for path in product():
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(ROOT)))
    shared = {name: paths for name, paths in homes.items() if len(paths) > 1}
    assert {name: shared[name] for name in shared.keys() - TRITON_NAMES} == {}


def test_nothing_edits_the_import_path() -> None:
    edits = ("sys.path.append", "sys.path.insert", "sys.path[", "sys.path +=", "sys.path =")
    guilty = [
        str(path.relative_to(ROOT))
        for path in [*product(), *tracked("scripts/tools/*.py")]
        if any(edit in path.read_text("utf-8") for edit in edits)
    ]
    assert guilty == []


def test_python_is_started_without_the_current_directory() -> None:
    """A ``json.py`` beside a user's photos is no code: see `tritonpose_server.python_programs`."""
    home = PACKAGES["tritonpose_server"] / "python_programs.py"
    guilty = []
    for path in [*product(), *tracked("scripts/tools/*.py")]:
        text = path.read_text("utf-8")
        if "sys.executable" not in text:
            continue
        tree = ast.parse(text)
        # In messages, and where it names the folder of other programs.
        harmless = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.JoinedStr)
            or (isinstance(node, ast.Call) and ast.unparse(node.func) == "Path")
            for inner in ast.walk(node)
        }
        guilty += [
            f"{path.relative_to(ROOT)}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            if ast.unparse(node) == "sys.executable"
            if path != home and id(node) not in harmless
        ]
    assert guilty == []
    assert "\nexport PYTHONSAFEPATH=1\n" in (ROOT / "scripts/lib/environment.sh").read_text("utf-8")


def test_what_scripts_and_documents_import_exists() -> None:
    named: set[str] = set()
    for path in tracked("scripts/*", "*.md"):
        if path.suffix != ".py" and path.name != "CHANGELOG.md":
            text = path.read_text("utf-8")
            named |= set(
                re.findall(r"\btritonpose_(?:batch|pipeline|server)(?:\.[A-Za-z]\w*)+", text)
            )
            named |= set(map(".".join, re.findall(r"from (tritonpose[\w.]*) import (\w+)", text)))
    assert [name for name in sorted(named) if not exists(name)] == []


def exists(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def test_top_level_folders() -> None:
    folders = {path.relative_to(ROOT).parts[0] for path in tracked() if path.parent != ROOT}
    assert {name for name in folders if not name.startswith(".")} == {
        *("client", "docker", "docs", "model_repository", "scripts", "server", "tests")
    }


def test_the_adapter_is_thin() -> None:
    assert lines(PIPELINE_MODEL / "model.py") < 150


def test_files_have_one_subject() -> None:
    long = {str(path.relative_to(ROOT)): lines(path) for path in product() if lines(path) > 350}
    assert long == {}


@pytest.fixture(scope="module")
def wheel_files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names in the wheel, built as it is published."""
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", target],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = target.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_holds_the_product_only(wheel_files: list[str]) -> None:
    tops = {name.split("/")[0] for name in wheel_files}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_holds_all_of_a_package(package: str, wheel_files: list[str]) -> None:
    folder = PACKAGES[package]
    files = {path.relative_to(folder).as_posix() for path in tracked(str(folder))}
    in_wheel = {
        name.removeprefix(f"{package}/")
        for name in wheel_files
        if name.startswith(f"{package}/") and not name.startswith(f"{package}/share/")
    }
    assert in_wheel == files


def test_the_wheel_holds_the_model_repository_without_weights(wheel_files: list[str]) -> None:
    share = "tritonpose_server/share/model_repository/"
    inside = {name.removeprefix(share) for name in wheel_files if name.startswith(share)}
    repository = ROOT / "model_repository"
    assert inside == {path.relative_to(repository).as_posix() for path in tracked(str(repository))}
