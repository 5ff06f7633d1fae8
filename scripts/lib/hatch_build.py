"""Puts the model repository into wheels; an editable installation uses that of the checkout."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ModelRepositoryHook(BuildHookInterface[Any]):
    """Adds ``model_repository`` to the package ``tritonpose_server``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Extend what hatchling includes (see ``BuildHookInterface.initialize``)."""
        if version == "standard":
            target = "tritonpose_server/share/model_repository"
            build_data["force_include"]["model_repository"] = target
