"""What runs in continuous integration is as GitHub's schemas and the project's ranges say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import tomllib
import yaml

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("vendor.github-workflows", "workflows/*.yml"),
        ("vendor.dependabot", "dependabot.yml"),
        ("vendor.github-issue-forms", "ISSUE_TEMPLATE/[!c]*.yml"),
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
    assert workflow["jobs"]["client"]["strategy"]["matrix"]["python"] == named
    assert project["requires-python"] == f">={named[0]}"
