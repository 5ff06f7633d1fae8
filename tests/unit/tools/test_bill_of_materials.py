"""What the product is made of: packages, models and their licenses."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tools.bill_of_materials import main
from tritonpose_server.models.catalog import OPEN_MODELS, PADDLEX_MODELS

PACKAGES = [
    {"type": "library", "name": "b", "version": "2", "licenses": [{"expression": "MIT OR 0BSD"}]},
    {"type": "library", "name": "A", "version": "1", "licenses": [{"license": {"id": "MIT"}}]},
    {
        "type": "library",
        "name": "c",
        "version": "3",
        "licenses": [{"license": {"name": f"{'A very long license ' * 9}\nIts text"}}],
    },
    {"type": "library", "name": "d", "version": "4"},
    {
        "type": "library",
        "name": "e",
        "version": "5",
        "licenses": [{"license": {"name": "License :: OSI Approved :: MIT License"}}],
    },
]


def test_options_are_no_directories(tmp_path: Path) -> None:
    script = Path(__file__).parents[3] / "scripts" / "bill_of_materials"
    done = subprocess.run([script, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("scripts/bill_of_materials [DIR]\n")
    assert subprocess.run([script, "--out"], cwd=tmp_path, capture_output=True).returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_packages_and_models_have_their_licenses(tmp_path: Path) -> None:
    path = tmp_path / "sbom.cdx.json"
    path.write_text(json.dumps({"bomFormat": "CycloneDX", "components": PACKAGES}))
    assert main([str(tmp_path)]) == 0
    bill = json.loads(path.read_text())
    models = [each for each in bill["components"] if each["type"] == "machine-learning-model"]
    assert [each["name"] for each in models] == [*OPEN_MODELS, *PADDLEX_MODELS]
    assert all(len(each["hashes"]) == 2 for each in models[: len(OPEN_MODELS)])
    lines = (tmp_path / "licenses.md").read_text().splitlines()[2:]
    assert lines[:2] == ["| A | 1 | MIT |", "| b | 2 | MIT OR 0BSD |"]
    assert lines[2].startswith("| c | 3 | A very long license A very")
    assert lines[2].endswith("... |")
    assert lines[3] == "| d | 4 | not stated |"
    assert lines[4] == "| e | 5 | MIT License |"
    assert "| NanoDet_person_416 |  | Apache-2.0 |" in lines
    assert len(lines) == len(PACKAGES) + len(models)
