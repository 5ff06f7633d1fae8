"""Puts the model repository into wheels; an editable installation uses that of the checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# What fetching models and running the pipeline leave in a checkout.
_LEFT_OUT = {".onnx", ".plan", ".pyc", ".lock"}


class ModelRepositoryHook(BuildHookInterface[Any]):
    """Adds ``model_repository`` to the package ``tritonpose_server``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Extend what hatchling includes (see ``BuildHookInterface.initialize``)."""
        if version != "standard":
            return
        root = Path(self.root)
        package = "tritonpose_pipeline"
        for path in sorted((root / "model_repository").rglob("*")):
            if package in path.parent.parts or path.suffix in _LEFT_OUT:
                continue
            # The package as a folder: hatchling takes files that are named one by one away from the
            # place where they are installed as well.
            if path.is_file() or path.name == package:
                name = path.relative_to(root).as_posix()
                build_data["force_include"][name] = f"tritonpose_server/share/{name}"
