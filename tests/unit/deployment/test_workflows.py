"""What runs in continuous integration is as GitHub's schemas and the project's ranges say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import tomllib
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from tools.installs.__main__ import EXTRAS
from tools.installs.first_commands import FIRST

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("vendor.github-workflows", "workflows/*.yml"),
        ("vendor.dependabot", "dependabot.yml"),
        ("vendor.github-issue-forms", "ISSUE_TEMPLATE/*.yml"),
    ],
)
def test_files_are_as_githubs_schemas_say(schema: str, pattern: str) -> None:
    files = sorted((ROOT / ".github").glob(pattern))
    check = [Path(sys.executable).parent / "check-jsonschema", "--builtin-schema", schema, *files]
    done = subprocess.run(check, capture_output=True, text=True)
    assert files
    assert done.returncode == 0, done.stdout


def test_all_pythons_that_the_package_names_are_tried() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    prefix = "Programming Language :: Python :: 3."
    named = [f"3.{each.removeprefix(prefix)}" for each in project["classifiers"] if prefix in each]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "dependencies.yml").read_text())
    for job in ("client", "extras"):
        assert workflow["jobs"][job]["strategy"]["matrix"]["python"] == named
    assert project["requires-python"] == f">={named[0]}"


def test_every_extra_for_users_is_tried_alone() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for_users = {*project["optional-dependencies"]} - {"dev"}
    assert set(EXTRAS) == set(FIRST) == {"client", *for_users}


def test_known_holes_are_below_the_floors() -> None:
    """The oldest versions without holes that were known when the floors were set."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    floors: dict[str, list[str]] = {}
    for line in (*project["dependencies"], *(line for extra in extras for line in extra)):
        requirement = Requirement(line)
        lowest = [each.version for each in requirement.specifier if each.operator in (">=", "==")]
        floors.setdefault(requirement.name, []).extend(lowest)
    for name, safe in (
        ("aiohttp", "3.13.4"),
        ("fsspec", "2026.6"),
        ("onnx", "1.21"),
        ("pillow", "12.2"),
        ("pyarrow", "23.0.1"),
        ("ray", "2.54"),
        ("starlette", "1.3.1"),
    ):
        for floor in floors.get(name, []):
            assert Version(floor) >= Version(safe), name
