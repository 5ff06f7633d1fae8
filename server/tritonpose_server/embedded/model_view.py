"""Serves a model with another configuration than the one in its directory, which stays as it is."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

CONFIG_FILE = "config.pbtxt"


def read_config(model: Path) -> ModelConfig:
    """Read a model's configuration."""
    return text_format.Parse((model / CONFIG_FILE).read_text("utf-8"), ModelConfig())


def write_model_view(model: Path, config: ModelConfig, target: Path) -> Path:
    """Make a directory with a model's model files and another configuration.

    Args:
        model: The model's directory.
        config: The configuration.
        target: Directory for the new one; made where needed.

    Returns:
        The new directory, named like the model's.
    """
    view = target / model.name
    view.mkdir(parents=True)
    for version in model.iterdir():
        if version.name.isdecimal():
            (view / version.name).symlink_to(version.absolute())
    (view / CONFIG_FILE).write_text(text_format.MessageToString(config), "utf-8")
    return view
